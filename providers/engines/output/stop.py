"""Stop strings: the stage of the output parser that ends content at the first of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from providers.bounded_cache import BoundedCache

__all__ = ["StopMatcher", "StopSplitter", "stop_matcher"]


class StopMatcher:
    """An Aho-Corasick automaton over stop strings, shared by all answers that have the same ones.

    State 0 is the start. A state is the longest suffix of the text that begins some stop string.
    """

    __slots__ = ("_edges", "_fail", "depth", "firsts", "match")

    def __init__(self, strings: Sequence[str]) -> None:
        self._edges: list[dict[str, int]] = [{}]
        self._fail = [0]
        self.depth = [0]
        """Per state: how many characters of a stop string have been read."""
        self.match = [0]
        """Per state: length of the longest stop string that ends in it, or 0."""
        for string in strings:
            self._insert(string)
        self._link()
        self.firsts = frozenset(self._edges[0])
        """First characters of the stop strings: text without any of them leaves state 0 unchanged."""

    def _insert(self, string: str) -> None:
        state = 0
        for char in string:
            if char not in self._edges[state]:
                self._edges[state][char] = len(self._edges)
                self._edges.append({})
                self._fail.append(0)
                self.depth.append(self.depth[state] + 1)
                self.match.append(0)
            state = self._edges[state][char]
        self.match[state] = len(string)

    def _link(self) -> None:
        pending = deque(self._edges[0].values())
        while pending:
            state = pending.popleft()
            for char, child in self._edges[state].items():
                self._fail[child] = self.advance(self._fail[state], char)
                self.match[child] = self.match[child] or self.match[self._fail[child]]
                pending.append(child)

    def advance(self, state: int, char: str) -> int:
        while state and char not in self._edges[state]:
            state = self._fail[state]
        return self._edges[state].get(char, 0)


_MATCHERS: BoundedCache[tuple[str, ...], StopMatcher] = BoundedCache(16 << 20)
_BYTES_PER_CHARACTER = 300
"""Of a matcher: each character is a state with a dictionary. Measured: 270."""


def stop_matcher(strings: tuple[str, ...]) -> StopMatcher:
    """The matcher of these stop strings, from a cache. Only for one thread."""
    matcher = _MATCHERS.get(strings)
    if matcher is None:
        matcher = StopMatcher(strings)
        _MATCHERS.put(strings, matcher, _BYTES_PER_CHARACTER * (1 + sum(map(len, strings))))
    return matcher


class StopSplitter:
    """Lets text through until a stop string begins, however the text is cut into pieces.

    The string that ends first wins; of two that end together, the longer. Text that may still become a stop string
    is held back until it cannot, or until `flush`.
    """

    __slots__ = ("_held", "_matcher", "_state", "found")

    def __init__(self, matcher: StopMatcher) -> None:
        self._matcher = matcher
        self._state = 0
        self._held = ""
        self.found: str | None = None
        """The stop string that is complete; None: there is none yet."""

    def push(self, text: str) -> str:
        """The text that may leave now. Sets `found` once a stop string is complete; then nothing more leaves."""
        if self.found is not None:
            return ""
        matcher, state = self._matcher, self._state
        if not state and matcher.firsts.isdisjoint(text):
            return text
        pending = self._held + text
        for end, char in enumerate(text, start=len(self._held) + 1):
            state = matcher.advance(state, char)
            if matcher.match[state]:
                begin = end - matcher.match[state]
                self.found, self._held = pending[begin:end], ""
                return pending[:begin]
        self._state = state
        safe = len(pending) - matcher.depth[state]
        self._held = pending[safe:]
        return pending[:safe]

    def flush(self) -> str:
        """The text held back, since no stop string continues here. What follows is matched from the start."""
        held, self._held, self._state = self._held, "", 0
        return held
