"""The engine of a model type that cannot run here: it refuses to load, naming the type."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from providers.engine_host.frames import Command, Detokenize, Memory, Tokenize
from providers.engines.process.engine import EngineLoadError, Outbox, Progress
from providers.spec import ModelSpec

__all__ = ["UnsupportedEngine"]


class UnsupportedEngine:
    """Fails to load; nothing else of it is ever called."""

    gathers: ClassVar[float] = 0.0

    busy = False

    def __init__(self, reason: str = "it has no engine in this version") -> None:
        self._reason = reason

    def load(self, spec: ModelSpec, progress: Progress) -> NoReturn:
        raise EngineLoadError(f"model type {spec.model_type!r} cannot be served: {self._reason}")

    def prepare(self, command: Command) -> NoReturn:
        raise NotImplementedError

    def answer(self, question: Tokenize | Detokenize) -> NoReturn:
        raise NotImplementedError

    def submit(self, job: Any) -> None: ...

    def cancel(self, request_id: str) -> None: ...

    def step(self, out: Outbox) -> None: ...

    def recover(self, out: Outbox) -> None: ...

    def memory(self) -> Memory:
        return Memory(active=0, peak=0, cache=0, prefix_cache=0)
