"""The length of the common prefix of two sequences of tokens."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["common_prefix"]


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """Number of tokens that both begin with. Searches by halving, because slices compare faster than single tokens."""
    same, end = 0, min(len(one), len(other))
    while same < end:
        middle = (same + end + 1) // 2
        if one[same:middle] == other[same:middle]:
            same = middle
        else:
            end = middle - 1
    return same
