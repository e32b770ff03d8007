"""Proposals from the text itself: prompt look-up, n-gram speculation."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import mlx.core as mx

from providers.engines.language.speculation.proposer import Acceptance, Proposal, Text

__all__ = ["PromptLookup", "TextIndex"]

FAR = 1 << 30
LONGEST, SHORTEST = 3, 2
"""Lengths of the run of tokens that must occur earlier for the tokens after it to be proposed."""


class PromptLookup:
    """Proposes for each text the tokens that followed the last occurrence of its present ones."""

    costly = False

    def __init__(self) -> None:
        self._indices: dict[int, TextIndex] = {}

    def reset(self) -> None:
        self._indices.clear()

    def follow(self, texts: Mapping[int, list[int]], *, single: bool) -> None:
        self._indices = {uid: self._indices.get(uid) or TextIndex() for uid in texts}
        for uid, tokens in texts.items():
            self._indices[uid].read(tokens)

    def promises(self, uid: int) -> bool:
        return self._indices[uid].expected is not None

    def acceptance(self, uid: int) -> float:
        return self._indices[uid].acceptance.share

    def propose(self, texts: Sequence[Text]) -> Proposal | None:
        guesses = [self._indices[text.uid].guess(text.known, text.token, text.count) for text in texts]
        counts = [*map(len, guesses)]
        if not any(counts):
            return None
        rows = [guess + [0] * (max(counts) - len(guess)) for guess in guesses]
        return Proposal(mx.array(rows, dtype=mx.uint32), counts)

    def settle(self, uid: int, proposed: list[int], accepted: int) -> None:
        self._indices[uid].settle(proposed, accepted)


class TextIndex:
    """The runs of tokens of one text.

    If the text is repeating itself, a guess continues the repetition up to the requested length. After a wrong guess,
    the next one is shorter.
    """

    def __init__(self) -> None:
        self._read = 0
        self._followed: dict[tuple[int, ...], int] = {}
        """By run of tokens: the place after its last occurrence that another token followed."""
        self._reach = FAR
        self.expected: int | None = None
        """The token that would be proposed after those that were read."""
        self.acceptance = Acceptance()

    def read(self, tokens: list[int]) -> None:
        """Read the tokens that are new. Compares the first of them with what was expected."""
        begin = self._read
        if begin == len(tokens):
            return
        if self.expected is not None:
            hit = tokens[begin] == self.expected
            self.acceptance.note(int(hit), int(not hit))
        for end in range(max(1, begin), len(tokens)):
            self._note(tokens, end)
        self._read = len(tokens)
        place = self._place_after(tokens[-LONGEST:])
        self.expected = None if place is None else tokens[place]

    def guess(self, known: list[int], token: int, count: int) -> list[int]:
        """Up to `count` tokens that may follow `known`, which was read, and `token`."""
        self._note(known, len(known))
        place = self._place_after([*known[1 - LONGEST :], token])
        length = min(count, self._reach)
        if place is None or length < 1:
            return []
        text = known[place : place + length]
        if len(text) < length:
            text.append(token)
        text = [*itertools.islice(itertools.cycle(text), length)]
        # A picture's ids are in a prompt only: no model generates them.
        return [*itertools.takewhile(lambda each: each >= 0, text)]

    def settle(self, proposed: list[int], accepted: int) -> None:
        self._reach = max(4, 2 * len(proposed)) if accepted == len(proposed) else accepted + 1
        self.acceptance.note(accepted, int(accepted < len(proposed)))
        self.expected = None

    def _note(self, tokens: list[int], end: int) -> None:
        """Note that a token follows the run of tokens before `end`."""
        for length in range(SHORTEST, LONGEST + 1):
            if end >= length:
                self._followed[tuple(tokens[end - length : end])] = end

    def _place_after(self, last: list[int]) -> int | None:
        """The place after an earlier occurrence of these tokens, or of the last of them."""
        for length in range(min(LONGEST, len(last)), SHORTEST - 1, -1):
            place = self._followed.get(tuple(last[-length:]))
            if place is not None:
                return place
        return None
