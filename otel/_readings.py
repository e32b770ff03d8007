"""State of models, read when metrics are collected, and tokens, counted during generation."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

import attrs

__all__ = ["ModelReading", "ReplicaReading", "Tally", "readings", "tally", "watch"]

_logger = logging.getLogger(__name__)
_NOTHING: Mapping[str, int] = MappingProxyType({})


@attrs.define(slots=True, eq=False)
class Tally:
    """Tokens of one model since the start. Plain numbers, because they are updated for every token."""

    prompt: int = 0
    cached: int = 0
    generated: int = 0

    @property
    def hit_ratio(self) -> float | None:
        """Share of the prompt tokens read from the prefix cache; None before the first prompt."""
        return self.cached / self.prompt if self.prompt else None

    def tokens(self) -> Mapping[str, int]:
        return {"prompt": self.prompt, "cached": self.cached, "generated": self.generated}


@attrs.frozen(kw_only=True)
class ReplicaReading:
    """State of one of a model's engines at one moment."""

    replica: int = 0
    """Its number, counted from 0."""
    ready: bool = True
    active: int = 0
    """Answers that it generates."""
    routed: Mapping[str, int] = _NOTHING
    """Requests that it was sent, by the reason for it."""
    restarts: int = 0
    memory: Mapping[str, int] = _NOTHING
    prefix_cache: int | None = None
    speculated: Mapping[str, int] = _NOTHING


@attrs.frozen(kw_only=True)
class ModelReading:
    """State of one model at one moment. Counts are since the start, sizes in bytes; None: not applicable."""

    model: str
    ready: bool = True
    pending: int = 0
    active: int = 0
    sequences: int = 0
    """Sequences in the engine: a request for several answers has several."""
    outcomes: Mapping[str, int] = _NOTHING
    """Requests that ended, by outcome."""
    restarts: int | None = None
    loads: int | None = None
    """Times that the model became ready after it was unloaded or not yet loaded."""
    unloads: int | None = None
    memory: Mapping[str, int] = _NOTHING
    """Memory of the engine process, by kind."""
    prefix_cache: int | None = None
    speculated: Mapping[str, int] = _NOTHING
    """Tokens proposed ahead of the model since its engine started, by kind."""
    replicas: Sequence[ReplicaReading] = ()
    """Its engines, if it has several; the model's own figures are their sum."""

    @property
    def tally(self) -> Tally:
        return tally(self.model)


_tallies: dict[str, Tally] = {}
_sources: dict[object, weakref.WeakMethod[Callable[[], ModelReading]]] = {}


def tally(model: str) -> Tally:
    """The counters of this model: one object for each model ever served."""
    found = _tallies.get(model)
    return _tallies.setdefault(model, Tally()) if found is None else found


def watch(read: Callable[[], ModelReading]) -> None:
    """Call this bound method when metrics are collected, on the collecting thread, while its object exists."""
    method = weakref.WeakMethod(read)
    _sources[method] = method


def readings() -> Iterator[ModelReading]:
    """Readings of all watched models, in the order of `watch`; a reading that fails is left out."""
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
