"""A proposer that knows how texts go on, and is wrong now and then."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import mlx.core as mx

from providers.engines.language.speculation.proposer import Proposal, Text


class Foresight:
    """Proposes how texts go on, with a wrong token here and there: each text as many tokens as a die says."""

    costly = False

    def __init__(self, texts: list[list[int]]) -> None:
        self._texts = texts
        self._die = random.Random(4)

    def follow(self, texts: Mapping[int, list[int]], *, single: bool) -> None: ...

    def promises(self, uid: int) -> bool:
        return True

    def acceptance(self, uid: int) -> float:
        return 1.0

    def propose(self, texts: Sequence[Text]) -> Proposal | None:
        guesses = [self._guess([*text.known, text.token], self._die.randint(0, text.count)) for text in texts]
        counts = [*map(len, guesses)]
        if not any(counts):
            return None
        return Proposal(mx.array([guess + [0] * (max(counts) - len(guess)) for guess in guesses]), counts)

    def _guess(self, known: list[int], count: int) -> list[int]:
        (text,) = [text for text in self._texts if text[: len(known)] == known] or [[]]
        guess = text[len(known) : len(known) + count]
        return [token if self._die.random() < 0.7 else 3 for token in guess]

    def settle(self, uid: int, proposed: list[int], accepted: int) -> None: ...

    def reset(self) -> None: ...
