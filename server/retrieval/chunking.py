"""The division of a text into passages, by the places of its tokens."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from server.retrieval.tables.rows import Strategy

__all__ = ["divide", "sections", "windows"]

SECTION = 50_000
"""Characters whose tokens are found together."""
WINDOW = Strategy(48, 0)
"""The part of a text that has a vector of its own: about two sentences. In the vector of a whole passage, one sentence
weighs little."""
LONGEST_TOKEN = 64
"""Characters. A longer run without a token (an unknown word, spaces) counts as several."""

_PARAGRAPH = re.compile(r"\n\s*\n\s*")
_SENTENCE = re.compile(r"(?<=[.!?…\u3002\uff01\uff1f])[\"'”’)\]]*\s+|(?<=[\u3002\uff01\uff1f])|\n")
_SPACE = re.compile(r"\s+")


def sections(text: str) -> Iterator[tuple[int, int]]:
    """Parts of a long text, which end at spaces if there are any."""
    start = 0
    while start < len(text):
        stop = min(start + SECTION, len(text))
        if stop < len(text):
            stop = _last(_SPACE, text, start + SECTION // 2, stop) or stop
        yield start, stop
        start = stop


def divide(text: str, starts: Sequence[int], strategy: Strategy) -> list[tuple[int, int]]:
    """Places of passages that together cover the text, each of up to `strategy.size` tokens.

    A passage ends at the end of a paragraph, a sentence or a word, whichever is there in its last third; it begins at
    the start of one within the overlap. `starts` are the places of the tokens' first characters.
    """
    places = _places(text, starts)
    if not places:
        return [(0, len(text))] if text else []
    passages: list[tuple[int, int]] = []
    first = 0
    while first < len(places):
        start = min(places[first], passages[-1][1]) if passages else 0
        if first + strategy.size >= len(places):
            passages.append((start, len(text)))
            break
        least, most = places[first + 2 * strategy.size // 3], places[first + strategy.size]
        stop = _cut(text, least, most)
        passages.append((start, stop))
        following = bisect_left(places, stop)
        first = max(first + 1, _begin(text, places, max(first + 1, following - strategy.overlap), following))
    return passages


def windows(
    text: str, starts: Sequence[int], passages: Sequence[tuple[int, int]], room: int
) -> list[list[tuple[int, int]]]:
    """Places of the parts of each passage that have vectors. They cover the text once.

    Where passages overlap, a part belongs to the one whose middle is nearer: there it has the most context.
    """
    middles = [start + stop for start, stop in passages]
    parts: list[list[tuple[int, int]]] = [[] for _ in passages]
    for start, stop in divide(text, starts, WINDOW.within(room)):
        following = bisect_left(middles, start + stop)
        nearest = min(
            range(max(0, following - 1), min(following + 1, len(passages))),
            key=lambda place: abs(middles[place] - start - stop),
        )
        parts[nearest].append((start, stop))
    return parts


def _places(text: str, starts: Sequence[int]) -> list[int]:
    """The places of tokens; within long runs without any, one for every `LONGEST_TOKEN` characters."""
    places: list[int] = []
    previous = 0
    for start in (*starts, len(text)):
        places.extend(range(previous + LONGEST_TOKEN, start, LONGEST_TOKEN))
        if not places or start > places[-1]:
            places.append(start)
        previous = start
    if places and places[-1] == len(text):
        places.pop()
    return places


def _cut(text: str, least: int, most: int) -> int:
    """The best place to end a passage, in `least` to `most`."""
    for boundary in (_PARAGRAPH, _SENTENCE, _SPACE):
        if (place := _last(boundary, text, least, most)) is not None:
            return place
    return most


def _begin(text: str, places: Sequence[int], first: int, following: int) -> int:
    """The token to begin the next passage with: `first`, or one at the start of a sentence or a word soon after it."""
    if first >= following:
        return following
    latest = places[first + (following - first) // 2]
    for boundary in (_SENTENCE, _SPACE):
        found = boundary.search(text, max(0, places[first] - 1), latest)
        if found is not None:
            return min(bisect_left(places, found.end()), following)
    return first


def _last(boundary: re.Pattern[str], text: str, start: int, stop: int) -> int | None:
    """The end of the last boundary that ends after `start` and up to `stop`."""
    place = None
    for found in boundary.finditer(text, start, stop):
        place = found.end() if found.end() > start else place
    return place
