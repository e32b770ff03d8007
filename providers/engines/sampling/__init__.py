"""From logits to tokens: samplers, penalties, and log-probabilities, for a whole batch."""
