"""mflux's own loop, one step at a time.

mflux has one blocking call per image, which calls back before the loop, after each step and after the loop. The call
runs in a greenlet, on the MLX thread: a callback switches back to the engine, which resumes the call when it likes.
So the images are mflux's, for every architecture, and between two steps the engine looks at cancellations, deadlines
and other requests.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, ClassVar

import attrs
import mlx.core as mx
from greenlet import getcurrent, greenlet
from mlx.utils import tree_flatten

__all__ = ["Denoised", "Encoded", "Painted", "Painting", "Pauses", "Stepped"]


@attrs.frozen
class Encoded:
    """The prompt and the sources are encoded."""


@attrs.frozen(eq=False)
class Stepped:
    """A step is done."""

    step: int
    """Count of steps, those included that an image to continue makes unnecessary."""
    latents: mx.array
    width: int
    height: int


@attrs.frozen
class Denoised:
    """The last step is done."""


@attrs.frozen(eq=False)
class Painted:
    """The image is decoded."""

    image: Any
    """PIL's."""


class Pauses:
    """Callbacks of an mflux model, each of which switches to the engine."""

    def call_before_loop(self, latents: mx.array, **_: Any) -> None:
        mx.eval(latents, *_arrays_of_caller(Painting.CALL))
        _pause(Encoded())

    def call_in_loop(self, t: int, latents: mx.array, config: Any, **_: Any) -> None:
        mx.eval(latents)  # mflux evaluates them after its callbacks
        _pause(Stepped(t + 1, latents, config.width, config.height))

    def call_after_loop(self, **_: Any) -> None:
        _pause(Denoised())


class Painting:
    """One image in progress."""

    CALL: ClassVar[str] = "generate_image"
    """The name of mflux's blocking call."""

    def __init__(self, paint: Callable[[], Any]) -> None:
        """`paint` is mflux's blocking call."""
        self._greenlet = greenlet(lambda: Painted(getattr(image := paint(), "image", image)))
        self._greenlet.gr_context = copy_context()

    def next(self) -> Encoded | Stepped | Denoised | Painted:
        """Work until the next pause, or to the end. Raises what mflux raises."""
        reached: Encoded | Stepped | Denoised | Painted = self._greenlet.switch()
        return reached

    def drop(self) -> None:
        """End the call where it pauses, and free its arrays."""
        if not self._greenlet.dead:
            self._greenlet.throw()


def _arrays_of_caller(name: str) -> list[mx.array]:
    """The arrays in the variables of the function of this name that called this one.

    They are the encoded prompt and sources. MLX computes an array when it is first needed: without this the encoding
    would be part of the first step, and a cancellation would wait for both.
    """
    frame = sys._getframe()
    while frame.f_code.co_name != name:
        if frame.f_back is None:
            return []
        frame = frame.f_back
    leaves: list[Any] = tree_flatten(list(frame.f_locals.values()))  # type: ignore[assignment]
    return [value for _, value in leaves if isinstance(value, mx.array)]


def _pause(reached: Encoded | Stepped | Denoised) -> None:
    engine = getcurrent().parent
    assert engine is not None
    engine.switch(reached)
