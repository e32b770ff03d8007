"""Pictures in prompts: the tokens that stand for them, and what is kept of them."""

from __future__ import annotations

import threading
import weakref
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import attrs
import mlx.core as mx
import numpy as np

from providers.bounded_cache import BoundedCache
from providers.chat.types import ImagePart

__all__ = ["Expansion", "Expansions", "Found", "Grid", "Picture", "Reading"]

Grid = tuple[int, int, int]
"""Of the tokens of a picture: in time, height and width."""

_EXPANSION_BYTES = 16 << 20
"""Bound on the expansions that no request uses. One has four bytes per token."""
_LOWEST = -(1 << 31)


@attrs.frozen(kw_only=True)
class Reading:
    """What the model's processor makes of a picture."""

    tokens: Sequence[int]
    """What stands for the picture in a prompt: the token of images where the model reads its features, and tokens
    around them."""
    inputs: Mapping[str, Any]
    """What the vision tower reads, by the names of mlx-vlm."""
    grid: Grid | None
    """None: the architecture has no grid."""


@attrs.frozen(kw_only=True, eq=False)
class Expansion:
    """The tokens that stand for one picture in every prompt."""

    digest: str
    tokens: array[int]
    """Virtual ids where the model reads the picture, and tokens of the vocabulary around them."""
    first: int
    """The first virtual id. The others follow it downwards."""
    count: int
    """How many virtual ids there are."""
    grid: Grid | None

    def rows(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where this picture's ids are among these, and the rows of its features that belong there."""
        rows = self.first - ids.astype(np.int64)
        (places,) = np.nonzero((rows >= 0) & (rows < self.count) & (ids < 0))
        return places, rows[places]

    def is_in(self, ids: Sequence[int]) -> bool:
        """Whether one of its virtual ids is among these."""
        last = self.first - self.count
        return any(last < id <= self.first for id in ids)


@attrs.define(kw_only=True, eq=False)
class Picture:
    """A picture of one request."""

    expansion: Expansion
    part: ImagePart = attrs.field(repr=False)
    inputs: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    """None: not read by the processor for this request, or not needed any more."""
    features: mx.array | None = attrs.field(default=None, repr=False)
    """A row per virtual id; None: not computed for this request."""
    encoded: bool = False
    """Whether the tower read it for this request."""


class Found(NamedTuple):
    """A picture, or a part of it, among the tokens of a batch."""

    picture: Picture
    sequence: int
    places: np.ndarray
    """Its tokens in the sequence."""
    rows: np.ndarray
    """The rows of its features that belong there."""


class Expansions:
    """Gives virtual ids to pictures: negative numbers, which no vocabulary has. Threads may share it.

    The same picture has the same ids as long as it is in use or was used recently. So the same prompt has the same
    tokens, and everything that knows prompts by their tokens works unchanged. An id never returns with another
    meaning, since they are counted.
    """

    def __init__(self, image_token: int) -> None:
        """`image_token`: the id that the processor writes where the model reads features."""
        self._image_token = image_token
        self._lock = threading.Lock()
        self._next = -1
        self._recent: BoundedCache[str, Expansion] = BoundedCache(_EXPANSION_BYTES)
        self._all: weakref.WeakValueDictionary[str, Expansion] = weakref.WeakValueDictionary()

    def find(self, digest: str) -> Expansion | None:
        with self._lock:
            recent = self._recent.get(digest)
            return self._all.get(digest) if recent is None else recent

    def add(self, digest: str, reading: Reading) -> Expansion:
        """The expansion of a picture, which is a new one unless another thread was faster.

        Raises:
            OverflowError: all ids are used: two billion, or two weeks of a picture per second.
        """
        with self._lock:
            known = self._all.get(digest)
            if known is not None:
                return known
            tokens, first = array("i"), self._next
            for token in reading.tokens:
                if token == self._image_token:
                    if self._next <= _LOWEST:
                        raise OverflowError("there are no more ids for pictures; restart the model")
                    token, self._next = self._next, self._next - 1
                tokens.append(token)
            made = Expansion(digest=digest, tokens=tokens, first=first, count=first - self._next, grid=reading.grid)
            self._all[digest] = made
            self._recent.put(digest, made, len(tokens) * tokens.itemsize + len(digest))
            return made
