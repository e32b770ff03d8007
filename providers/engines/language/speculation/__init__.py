"""Several tokens of a sequence per forward pass: proposed cheaply, verified by the model.

A proposal is a guess at the next tokens, from the text so far (`PromptLookup`) or from a smaller model (`DraftModel`).
The model computes the logits after each of them in one pass, and the sequence's own sampler draws a token from each.
Proposals are accepted as long as they equal the drawn tokens. So the sequence's sampler draws every token of the output
from the model's own logits, and the output has the same distribution as without speculation. At temperature 0 it is the
same text; with a seed too, since a seeded sampler numbers its draws by the tokens that stay. (Rejection sampling, as in
Leviathan et al. 2023, accepts more of a draft model's guesses at high temperatures, but does not use the sequence's own
draws.)

The sequences stay in mlx-lm's batch throughout. One pass verifies the proposals of all of them; a sequence without a
proposal gets its one token from the same pass. Their caches are cut where a proposal was wrong, each at its own place
(`PlannedBatch.cut`). With several sequences a pass over more tokens is not free: `Worth` measures what it costs and how
many proposals are accepted, and the batch proposes only what makes it faster.
"""
