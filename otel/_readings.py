"""What models tell when metrics are collected, and the tokens that are counted while they come."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import attrs

__all__ = ["ModelReading", "Tally", "readings", "tally", "watch"]

_logger = logging.getLogger(__name__)
_NOTHING: Mapping[str, int] = MappingProxyType({})


@attrs.define(slots=True, eq=False)
class Tally:
    """Tokens of one model since start. Plain numbers: adding to them is all that is done for a token."""

    prompt: int = 0
    cached: int = 0
    generated: int = 0

    @property
    def hit_ratio(self) -> float | None:
        """Of the prompt tokens, those read from the prefix cache; None before the first."""
        return self.cached / self.prompt if self.prompt else None

    def tokens(self) -> Mapping[str, int]:
        return {"prompt": self.prompt, "cached": self.cached, "generated": self.generated}


@attrs.frozen(kw_only=True)
class ModelReading:
    """How one model is at this moment. Counts are since start, sizes bytes; None: it has no such thing."""

    model: str
    ready: bool = True
    pending: int = 0
    active: int = 0
    rows: int = 0
    """Answers in the engine."""
    outcomes: Mapping[str, int] = _NOTHING
    """Requests that ended, by how."""
    restarts: int | None = None
    memory: Mapping[str, int] = _NOTHING
    """Of the engine process, by kind."""
    prefix_cache: int | None = None
    speculated: Mapping[str, int] = _NOTHING
    """Tokens proposed ahead of the model since its engine started, by kind."""

    @property
    def tally(self) -> Tally:
        return tally(self.model)


_tallies: dict[str, Tally] = {}
_sources: dict[object, weakref.WeakMethod[Callable[[], ModelReading]]] = {}


def tally(model: str) -> Tally:
    """The counts of this model; one for each model that was ever served."""
    found = _tallies.get(model)
    return _tallies.setdefault(model, Tally()) if found is None else found


def watch(read: Callable[[], ModelReading]) -> None:
    """Ask this bound method whenever metrics are collected, from whatever thread does it, for as long as its object
    lives."""
    method = weakref.WeakMethod(read)
    _sources[method] = method


def readings() -> Iterator[ModelReading]:
    """Every watched model's, in the order of watching; one that fails is left out."""
    for method in tuple(_sources.values()):
        read = method()
        if read is None:
            _sources.pop(method, None)
            continue
        try:
            reading = read()
        except Exception:
            _logger.debug("telemetry failed to read a model", exc_info=True)
            continue
        yield reading
