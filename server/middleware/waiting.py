"""Timeouts without a timer where nothing waits: a timer of the event loop takes 10 µs, and most sends end directly."""

from __future__ import annotations

import types
from collections.abc import Awaitable, Generator, Iterator
from typing import Any

__all__ = ["ENDED", "begin"]


class _Ended:
    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()


ENDED = _Ended()
"""To await where the work has ended already."""


def begin(work: Awaitable[None]) -> Awaitable[None] | None:
    """Run `work` to its end or to the first place where it waits. Returns the rest of it; None: it has ended.

    The rest is awaited before anything else that `work` waits for, in any task: `work` must not ask for its own.
    """
    steps = work.__await__()
    try:
        waited_for = next(steps)
    except StopIteration:
        return None
    return _rest(steps, waited_for)


@types.coroutine
def _rest(steps: Iterator[Any], waited_for: Any) -> Generator[Any, Any, None]:
    """Wait as `yield from steps` does, which has yielded `waited_for` already. Granian's awaitables only iterate."""
    try:
        while True:
            try:
                yield waited_for
            except BaseException as error:
                throw = getattr(steps, "throw", None)
                if throw is None or isinstance(error, GeneratorExit):
                    getattr(steps, "close", lambda: None)()
                    raise
                waited_for = throw(error)
            else:
                waited_for = next(steps)
    except StopIteration:
        return
