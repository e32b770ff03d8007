"""Which phonemes of a clause belong to which of its words."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["divided"]

_SKIP = 2
_SWAP = 3
"""Costs of the edit distance. A swap costs less than two skips, so that similar words are laid side by side."""
_MOST = 400_000
"""Cells of the table; a clause with more is divided by the lengths of its words."""


def divided(clause: str, words: Sequence[str]) -> list[str]:
    """The clause's phonemes, a part for each word. A space before or after a part is left out.

    In a clause, words are joined, linked and weakened. Each symbol belongs to the word whose own phonemes are most
    similar around it.

    Args:
        clause: phonemes of the whole, with spaces.
        words: phonemes of each word by itself, which may have spaces; empty for a word without any.
    """
    groups = clause.split(" ")
    counts = [len(word.split()) for word in words]
    if sum(counts) == len(groups):
        places = iter(groups)
        return [" ".join(next(places) for _ in range(count)) for count in counts]
    owners = [number for number, word in enumerate(words) for _ in word]
    alone = "".join(words)
    if not alone:
        return [clause if number == 0 else "" for number in range(len(words))]
    if len(clause) * len(alone) > _MOST:
        found = [owners[min(at * len(alone) // len(clause), len(alone) - 1)] for at in range(len(clause))]
    else:
        found = _owners(clause, alone, owners)
    parts = [""] * len(words)
    for symbol, owner in zip(clause, found, strict=True):
        parts[owner] += symbol
    return [part.strip() for part in parts]


def _owners(clause: str, alone: str, owners: Sequence[int]) -> list[int]:
    """For each symbol of the clause the owner of the symbol that the shortest edit lays beside it."""
    rows, columns = len(clause) + 1, len(alone) + 1
    costs = [[column * _SKIP for column in range(columns)]]
    for row in range(1, rows):
        above, line = costs[-1], [row * _SKIP]
        for column in range(1, columns):
            swap = above[column - 1] + (0 if clause[row - 1] == alone[column - 1] else _SWAP)
            line.append(min(swap, above[column] + _SKIP, line[-1] + _SKIP))
        costs.append(line)
    found = [0] * len(clause)
    row, column = rows - 1, columns - 1
    while row:
        cost = costs[row][column]
        same = column and clause[row - 1] == alone[column - 1]
        if column and cost == costs[row - 1][column - 1] + (0 if same else _SWAP):
            row, column = row - 1, column - 1
            found[row] = owners[column]
        elif cost == costs[row - 1][column] + _SKIP:
            row -= 1
            found[row] = owners[max(column - 1, 0)]
        else:
            column -= 1
    return found
