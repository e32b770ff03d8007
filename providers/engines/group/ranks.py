"""What the ranks of one model agree on.

Rank 0 has the server's socket and decides; every rank computes its part of the same batch. Whatever a clock, free
memory or another thread decides reaches the engine through `agree`, so that all ranks take the same steps in the same
order.
Imports no mlx: an engine of a single process needs nothing else of this package.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from providers.spec import ModelSpec

__all__ = ["ALONE", "Packs", "Ranks"]

T = TypeVar("T")


class Packs(Protocol):
    """A job that several ranks can do."""

    def packed(self) -> dict[str, Any]:
        """What the other ranks need of it, as plain data. They draw no tokens and write no text."""
        ...


class Ranks:
    """The ranks as one of them sees them: here a single one, whose word is the last."""

    size = 1
    leads = True
    """Whether this is rank 0."""
    world: Any = None
    """The `mx.distributed.Group`."""

    def agree(self, value: T) -> T:
        """Rank 0's value, on every rank. Every rank calls it at the same place. Values are plain data: numbers, text,
        lists."""
        return value

    def every(self, value: bool) -> bool:
        """Whether the value is true on all ranks. Every rank calls it at the same place, outside `together`. It waits
        for the others."""
        return value

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Rank 0 sends what the ranks agree on inside as one piece. Nothing may be computed inside."""
        yield

    @property
    def share(self) -> Callable[[Any], Any] | None:
        """The function that returns rank 0's tokens from those (an array) of every rank; None: there is one rank."""
        return None

    def check(self, error: BaseException) -> None:
        """End this process if the error may have reached this rank and no other: the ranks are no longer alike."""

    # ── orders of rank 0 ────────────────────────────────────────────────────────────────────────────────────

    def load(self, spec: ModelSpec) -> None:
        """Let the others load a model."""

    def submit(self, job: Packs) -> None:
        """Let the others submit a job."""

    def cancel(self, request_id: str) -> None:
        """Let the others cancel a request."""

    def step(self) -> None:
        """Let the others do a step."""

    def tidy(self) -> None:
        """Let the others use an idle moment."""


ALONE = Ranks()
