"""The step that verifies proposals, in place of a batch's own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import attrs
import mlx.core as mx

from providers.engines.group.ranks import ALONE, Ranks
from providers.engines.language.speculation.proposer import Proposal, Proposer, Text
from providers.engines.language.speculation.worth import Worth
from providers.engines.process.mlx_lm_internals.decoding import shared_tokens
from providers.engines.sampling.samplers import DrawsAhead, draws_ahead, is_seeded

__all__ = ["Speculation", "Tally"]


@attrs.define
class Tally:
    """Proposals since the engine started, in tokens."""

    proposed: int = 0
    accepted: int = 0

    def as_dict(self) -> dict[str, int]:
        return attrs.asdict(self)


class Speculation:
    """Advances the sequences of a batch by several tokens, if there are proposals. Only for the MLX thread."""

    def __init__(
        self,
        proposer: Proposer,
        *,
        count: int,
        ends: Sequence[int],
        batched: bool,
        single: Worth,
        several: Worth,
        ranks: Ranks = ALONE,
    ) -> None:
        """Make a step of a proposer.

        Args:
            count: the most tokens per proposal.
            ends: ids that end an output.
            batched: whether to propose while there are several sequences.
            single: decides while there is one.
            several: decides while there are several.
            ranks: those that verify the proposals together. Rank 0 makes them.
        """
        self._proposer = proposer
        self._ranks = ranks
        self._count = count
        self._ends = frozenset(ends)
        self._batched = batched
        self._pending: mx.array | None = None
        """The next tokens of the batch if they are known to be computed."""
        self._begun = 0.0
        """When the last proposal was begun."""
        self._single = single
        self.worth = several
        self.tally = Tally()

    def reset(self) -> None:
        """Forget the sequences and their texts, after a step that failed or for a new batch."""
        self._pending = None
        self._proposer.reset()

    def step(self, generator: Any) -> list[Any] | None:
        """Do one step in place of the generator's own. Returns the sequences' responses in the generator's form.

        None, with nothing changed, if prompts wait or are computed, if a sequence is about to end, or if there are no
        proposals that are worth it. Nothing is proposed for sequences with processors or with a sampler that records
        every step. `generator`: its stream must be the current one.
        """
        batch = generator.decoding
        sequences = len(batch)
        worth = self._single if sequences == 1 else self.worth
        if generator.prefilling or generator.queued or not sequences or (sequences > 1 and not self._batched):
            self.worth.pause()
            return None
        worth.begin(sequences)
        proposal, places = self._agreed(batch, worth)
        if proposal is None:
            self._pending = None
            worth.plain(sequences)
            return None
        responses = self._verify(batch, places, proposal)
        worth.verified(sequences, proposal.tokens.shape[1], time.perf_counter() - self._begun)
        return responses

    def _agreed(self, batch: Any, worth: Worth) -> tuple[Proposal | None, list[int]]:
        """Rank 0's proposals."""
        if self._ranks.size == 1:
            return self._propose(batch, worth)
        mx.eval(batch.next_tokens)  # of which rank 0 reads the values, so that the others must compute them too
        made, places = self._propose(batch, worth) if self._ranks.leads else (None, [])
        plain = None if made is None else (made.tokens.tolist(), list(made.counts), places)
        agreed = self._ranks.agree(plain)
        if agreed is None:
            return None, []
        tokens, counts, places = agreed
        return Proposal(mx.array(tokens, dtype=mx.uint32), counts), places

    def _propose(self, batch: Any, worth: Worth) -> tuple[Proposal | None, list[int]]:
        """Proposals for some of the sequences, and the places of those in the batch."""
        sequences = len(batch)
        left = [batch.tokens_left(place) for place in range(sequences)]
        # The last token is left to the generator, which ends outputs.
        counts = {place: min(self._count, left[place] - 2) for place in range(sequences) if _may_propose(batch, place)}
        counts = {place: count for place, count in counts.items() if count > 0}
        if min(left) < 2 or not counts or not batch.can_cut:
            return None, []
        uids, known = batch.uids, batch.tokens
        self._proposer.follow({uids[place]: known[place] for place in counts}, single=sequences == 1)
        costly = self._proposer.costly
        if costly or self._pending is not batch.next_tokens:
            promising = {place: count for place, count in counts.items() if self._proposer.promises(uids[place])}
            width = worth.width(sequences, self._chances(batch, promising))
            if not width:
                return None, []
            if costly:
                counts = {place: min(count, width) for place, count in counts.items()}
        fed: list[int] = batch.next_tokens.tolist()
        if not self._ends.isdisjoint(fed):
            return None, []
        self._begun = time.perf_counter()
        texts = [Text(uids[place], known[place], fed[place], count) for place, count in counts.items()]
        proposal = self._proposer.propose(texts)
        if proposal is None:
            return None, []
        places = [*counts]
        if costly:
            return proposal, places
        width = worth.width(sequences, self._chances(batch, dict(zip(places, proposal.counts, strict=True))))
        if not width:
            return None, []
        cut = [min(count, width) for count in proposal.counts]
        return Proposal(proposal.tokens[:, :width], cut), places

    def _chances(self, batch: Any, counts: dict[int, int]) -> list[tuple[int, float]]:
        return [(count, self._proposer.acceptance(batch.uids[place])) for place, count in counts.items() if count]

    def _verify(self, batch: Any, places: list[int], proposal: Proposal) -> list[Any]:
        sequences, width = len(batch), proposal.tokens.shape[1]
        fed = proposal.tokens
        if len(places) < sequences:
            fed = mx.zeros((sequences, width), dtype=mx.uint32)
            fed[mx.array(places)] = proposal.tokens
        logits, first = batch.feed_ahead(fed)
        counts = dict(zip(places, proposal.counts, strict=True))
        drawing = {place: count for place, count in counts.items() if count}
        drawn, seeded = _draw(batch, logits, first, drawing)
        drawn = shared_tokens(batch.model, drawn)
        mx.eval(drawn, fed)
        proposed: list[list[int]] = fed.tolist()  # type: ignore[assignment]
        rows: list[list[int]] = drawn.tolist()  # type: ignore[assignment]
        accepted: list[list[int]] = [[] for _ in rows]
        for place, count in drawing.items():
            guess = proposed[place][:count]
            number = self._accepted(guess, rows[place])
            accepted[place] = guess[:number]
            if self._ranks.leads:
                self._proposer.settle(batch.uids[place], guess, number)
            self.tally.proposed += count
            self.tally.accepted += number
            if place in seeded:
                seeded[place].keep(number)
        following = [row[len(tokens)] for row, tokens in zip(rows, accepted, strict=True)]
        responses: list[Any] = batch.cut(accepted, width, following)
        self._pending = batch.next_tokens
        return responses

    def _accepted(self, proposed: list[int], drawn: list[int]) -> int:
        """How many of the proposals were drawn. An end token does not count: the generator must process it."""
        for place, (guess, token) in enumerate(zip(proposed, drawn, strict=False)):
            if guess != token or token in self._ends:
                return place
        return len(proposed)


def _may_propose(batch: Any, place: int) -> bool:
    return not batch.logits_processors[place] and draws_ahead(batch.samplers[place]) is not None


def _draw(
    batch: Any, logits: mx.array, first: mx.array, counts: dict[int, int]
) -> tuple[mx.array, dict[int, DrawsAhead]]:
    """The tokens (sequences, places) after the fed ones, of which `first` is drawn; and the seeded draws, by sequence.

    `logits`: (sequences, places, vocabulary). `counts`: how many are to be drawn after the first, by sequence.
    """
    width = logits.shape[1] - 1
    groups: dict[int, list[int]] = {}
    for place in counts:
        if not is_seeded(batch.samplers[place]):
            groups.setdefault(id(batch.samplers[place]), []).append(place)
    later = mx.zeros((len(batch), width), dtype=mx.uint32)
    for group in groups.values():
        whole = len(group) == len(batch)
        some = logits[:, 1:] if whole else logits[mx.array(group), 1:]
        drawn = batch.samplers[group[0]](some.reshape(-1, logits.shape[-1])).reshape(len(group), width)
        if whole:
            later = drawn
        else:
            later[mx.array(group)] = drawn
    own = [place for place in counts if is_seeded(batch.samplers[place])]
    seeded = {place: DrawsAhead(batch.samplers[place]) for place in own}
    for place, draws in seeded.items():
        later[place, : counts[place]] = draws.draw(logits[place, 1 : 1 + counts[place]])
    return mx.concatenate([first[:, None], later], axis=1), seeded
