"""Which rows go through the model together: rows of similar length, of all requests, within a bound."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Sequence

import attrs

__all__ = ["RowPool", "Rows"]

SLACK = 16
"""Tokens of padding that any row may get: a step of its own would cost more than the padding."""
SLACK_SHARE = 4
"""A row of n tokens may also get n divided by this of padding."""


@attrs.define(eq=False)
class Rows:
    """The rows of one request that are left: their indexes, shortest first."""

    lengths: Sequence[int]
    """Tokens of every row, done rows included."""
    left: list[int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.left = sorted(range(len(self.lengths)), key=self.lengths.__getitem__)

    def longest_within(self, bound: int) -> int:
        """Length of the longest row of at most `bound` tokens; 0 if there is none."""
        place = bisect_right(self.left, bound, key=self.lengths.__getitem__)
        return self.lengths[self.left[place - 1]] if place else 0

    def take(self, longest: int, shortest: int, count: int) -> list[int]:
        """Remove and return up to `count` rows of these lengths, the longest first."""
        end = bisect_right(self.left, longest, key=self.lengths.__getitem__)
        begin = bisect_right(self.left, shortest - 1, hi=end, key=self.lengths.__getitem__)
        begin = max(begin, end - count)
        taken = self.left[begin:end]
        del self.left[begin:end]
        return taken[::-1]


def _slack(length: int) -> int:
    return max(SLACK, length // SLACK_SHARE)


class RowPool:
    """The rows of all waiting requests, by request id. A request with many rows shares each batch with the others."""

    def __init__(self, tokens: int) -> None:
        """`tokens`: the most tokens of a batch, padding included. A single row may be longer."""
        self._tokens = tokens
        self._requests: OrderedDict[str, Rows] = OrderedDict()
        self._again: deque[list[tuple[str, int]]] = deque()
        """Halves of batches that were put back."""

    def __len__(self) -> int:
        """Count of the requests that have rows left."""
        if not self._again:
            return len(self._requests)
        return len(self._requests.keys() | {request_id for batch in self._again for request_id, _ in batch})

    def add(self, request_id: str, lengths: Sequence[int]) -> None:
        self._requests[request_id] = Rows(lengths)

    def remove(self, request_id: str) -> None:
        self._requests.pop(request_id, None)
        kept = ([row for row in batch if row[0] != request_id] for batch in self._again)
        self._again = deque(filter(None, kept))

    def put_back(self, batch: list[tuple[str, int]]) -> None:
        """Let a batch of two rows or more come again as two batches, before all others."""
        half = len(batch) // 2
        self._again.extendleft((batch[half:], batch[:half]))

    def next_batch(self) -> list[tuple[str, int]]:
        """Take the next rows: the longest one of the request whose turn it is, and rows that need little padding to it.

        That row sets the length, unless another request has a slightly longer one. Requests take turns, so that a short
        request waits for at most as many batches as there are requests before it, however many rows they have.
        """
        if self._again:
            return self._again.popleft()
        leader, rows = next(iter(self._requests.items()))
        longest = rows.lengths[rows.left[-1]]
        width = max(other.longest_within(longest + _slack(longest)) for other in self._requests.values())
        shortest = min(longest, width - _slack(width))
        room = max(1, self._tokens // width)
        batch: list[tuple[str, int]] = []
        for request_id, candidate in self._requests.items():
            batch += [(request_id, index) for index in candidate.take(width, shortest, room - len(batch))]
            if len(batch) == room:
                break
        self._requests.move_to_end(leader)
        for request_id in {request_id for request_id, _ in batch}:
            if not self._requests[request_id].left:
                del self._requests[request_id]
        return batch
