"""Prompts of a given length that no cache contains, and their shared prefix."""

from __future__ import annotations

import random

__all__ = ["make_prompts", "shared_prefix"]

_WORDS = (
    "river mountain debate avatar voice garden winter signal music ocean history engine planet bridge market "
    "science forest window friend number silver morning language travel kitchen theory"
)


def make_prompts(seed: int, count: int, words: int) -> tuple[str, ...]:
    """`count` different prompts that no prefix cache contains and that small models answer at length."""
    rng = random.Random(seed)
    return tuple(
        f"Story {rng.randrange(10**6)}. Write a very long story with these words in it: "
        + ", ".join(rng.choices(_WORDS.split(), k=words))
        for _ in range(count)
    )


def shared_prefix(words: int) -> str:
    """`words` words, the same on every call; empty for 0."""
    return " ".join(random.Random(0).choices(_WORDS.split(), k=words))
