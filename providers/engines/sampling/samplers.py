"""Samplers: each draws the next tokens of one sequence, or of all sequences with equal settings.

They are our own because mlx-lm's draw row by row where settings differ, cannot be seeded, read `top_p=0` as off, and
raise inside the batch on values that we accept.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np

from providers.engines.sampling import host_kernels
from providers.engines.sampling.kernels import drawing_of
from providers.engines.sampling.settings import Settings

__all__ = [
    "GREEDY",
    "Chance",
    "DrawsAhead",
    "Sampler",
    "SettledSampler",
    "draws_ahead",
    "is_seeded",
    "make_sampler",
    "on_host",
]

Sampler = Callable[[mx.array], mx.array]
"""Logits (rows, vocabulary), normalised or not → token ids (rows)."""
Chance = tuple[float, float]
"""Two numbers from [0, 1): the first one draws a token, the second one decides about XTC."""

_STEP = 0x9E3779B97F4A7C15
_BITS = 0xFFFFFFFFFFFFFFFF
_CERTAIN = (0.0, 1.0)


def on_host() -> bool:
    """Whether tokens are drawn by numpy: on a CPU, where it takes a tenth of the time of MLX's operations."""
    return bool(mx.default_device() == mx.cpu)


class SettledSampler:
    """A sampler of these settings, which are all that it depends on besides its random numbers."""

    __slots__ = ("_drawing", "settings")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._drawing = drawing_of([settings])

    def chances(self, count: int) -> list[Chance]:
        """The numbers of the next `count` draws."""
        if self.settings.greedy:
            return [_CERTAIN] * count
        return [(_unit(random.getrandbits(64)), _unit(random.getrandbits(64))) for _ in range(count)]

    def take_back(self, count: int) -> None:
        """Leave the sampler as if it had not drawn the last `count` tokens."""

    def __call__(self, logits: mx.array) -> mx.array:
        if self.settings.greedy:
            return mx.argmax(logits, axis=-1)
        chances = self.chances(logits.shape[0])
        if not on_host():
            return self._drawing.draw(logits, chances)
        rows = np.array(logits.astype(mx.float32), copy=False)
        drawn = [host_kernels.draw(row, self.settings, chance) for row, chance in zip(rows, chances, strict=True)]
        return mx.array(drawn, dtype=mx.uint32)


class _SeededSampler(SettledSampler):
    """Draws by its own sequence of numbers: the same seed gives the same draws, whatever else is in the batch.

    A number depends only on the seed and on how many were drawn before: nothing is computed on the device for it.
    """

    __slots__ = ("_drawn", "_start")

    def __init__(self, settings: Settings, seed: int) -> None:
        super().__init__(settings)
        self._start = _mixed(seed & _BITS)
        self._drawn = 0

    def chances(self, count: int) -> list[Chance]:
        first = self._drawn
        self._drawn += count
        return [(self._number(2 * nth), self._number(2 * nth + 1)) for nth in range(first, first + count)]

    def take_back(self, count: int) -> None:
        self._drawn -= count

    def _number(self, nth: int) -> float:
        return _unit(_mixed(self._start + nth * _STEP & _BITS))


def _mixed(bits: int) -> int:
    """64 bits, each of which depends on all of the given ones: the generator SplitMix64."""
    bits = bits + _STEP & _BITS
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 & _BITS
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EB & _BITS
    return bits ^ bits >> 31


def _unit(bits: int) -> float:
    """A number from [0, 1) that float32 holds exactly."""
    return float(bits >> 40) / (1 << 24)


GREEDY = SettledSampler(Settings(temperature=0.0))


def make_sampler(settings: Settings, seed: int | None, *, drawn: int = 0) -> SettledSampler:
    """A sampler of these settings, as if it had drawn `drawn` tokens.

    Equal settings without a seed give the same object, so that a batch whose rows agree is sampled in one call. A seed
    gives an object with a sequence of its own.
    """
    if settings.greedy or seed is None:
        return _shared_sampler(settings)
    sampler = _SeededSampler(settings, seed)
    sampler.take_back(-drawn)
    return sampler


@functools.lru_cache(maxsize=256)
def _shared_sampler(settings: Settings) -> SettledSampler:
    return GREEDY if settings.greedy else SettledSampler(settings)


class DrawsAhead:
    """The tokens after several tokens of one sequence, drawn as a sampler draws them one by one."""

    __slots__ = ("_count", "_sampler")

    def __init__(self, sampler: SettledSampler) -> None:
        self._sampler = sampler
        self._count = 0

    def draw(self, logits: mx.array) -> mx.array:
        """One token per row of `logits` (places, vocabulary), which are consecutive places of one text."""
        self._count += logits.shape[0]
        return self._sampler(logits)

    def keep(self, count: int) -> None:
        """Keep only the first `count` of the drawn tokens: the next draw is the one after those."""
        self._sampler.take_back(self._count - count)
        self._count = count


def draws_ahead(sampler: Any) -> DrawsAhead | None:
    """A `DrawsAhead` of the sampler; None for one of another module, which may keep records of its own."""
    return DrawsAhead(sampler) if isinstance(sampler, SettledSampler) else None


def is_seeded(sampler: Any) -> bool:
    """Whether a sampler has a sequence of random numbers of its own, so that no two calls of it draw alike."""
    return isinstance(sampler, _SeededSampler)
