"""What every engine does the same way: load and describe a model, refuse requests of other kinds, report memory."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import attrs
import mlx.core as mx

from providers.engine_host.frames import (
    Answer,
    Command,
    EngineInfo,
    Generate,
    Memory,
    Question,
)
from providers.engines.group.ranks import Ranks
from providers.engines.process import platform
from providers.engines.process.engine import EngineLoadError, Job, Outbox, Progress
from providers.engines.process.shortage import is_out_of_memory
from providers.engines.process.weights import mlx_device
from providers.errors import GenerationTimeout, InternalError, InvalidRequest, OutOfMemory, ServiceError
from providers.spec import ModelSpec

__all__ = [
    "BaseEngine",
    "Loaded",
    "as_service_error",
    "failure_of",
    "free_memory",
    "is_late",
    "late",
    "release_arrays",
    "timed_out",
]

J = TypeVar("J", bound=Job)

logger = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Loaded:
    """What an engine reports of the model that it has loaded."""

    model_type: str
    dtype: str
    context_length: int | None = None
    details: Mapping[str, Any] = attrs.field(factory=dict)
    """For the log, `doctor` and the models page."""


class BaseEngine(ABC, Generic[J]):
    """The common half of an `Engine`.

    A subclass names the requests that it takes and says in words what its model does; it loads, warms up, turns
    requests into jobs, and does the jobs on the MLX thread.
    """

    REQUESTS: ClassVar[tuple[type, ...]]
    """Classes of the requests that `_job` takes."""
    NOUN: ClassVar[str]
    """What this is, for messages: `a speech model`."""
    DOES: ClassVar[str]
    """What it does, for messages: `synthesizes speech`."""
    FREED_BYTES: ClassVar[int | None] = None
    """Bound on the freed arrays that MLX keeps for reuse, which is never more than a 16th of the memory; None: MLX's
    own bound. On CUDA it is an eighth of the device's memory."""

    def __init__(self, prepared: platform.Platform) -> None:
        self._platform = prepared

    # ── MLX thread: loading ─────────────────────────────────────────────────────────────────────────────────

    def load(self, spec: ModelSpec, progress: Progress) -> EngineInfo:
        started = time.monotonic()
        device = mlx_device()
        if spec.max_memory is not None:
            mx.set_memory_limit(spec.max_memory)
        if spec.wired_limit is not None:
            _set_wired_limit(spec.wired_limit, device)
        loaded = self._load(spec, device, progress)
        if self.FREED_BYTES is not None:
            mx.set_cache_limit(_freed_bytes(self.FREED_BYTES, device))
        if spec.warmup:
            progress("warming up", None)
            self._warm_up()
        mx.clear_cache()
        mx.reset_peak_memory()
        return EngineInfo(
            context_length=loaded.context_length,
            device=device,
            dtype=loaded.dtype,
            blas=self._platform.blas if device == "cpu" else "-",
            load_seconds=time.monotonic() - started,
            details={
                "blas_threads": self._platform.threads,
                "model_type": loaded.model_type,
                **loaded.details,
            },
        )

    @abstractmethod
    def _load(self, spec: ModelSpec, device: str, progress: Progress) -> Loaded:
        """Load the model and take it into service, without the warm-up.

        Raises:
            EngineLoadError: it cannot be loaded; the message says what and why.
        """

    @abstractmethod
    def _warm_up(self) -> None:
        """Run everything once that the first request would otherwise wait for."""

    # ── intake thread ───────────────────────────────────────────────────────────────────────────────────────

    def prepare(self, command: Command, *, may_wait: bool = True) -> J:
        request = command.request if isinstance(command, Generate) else None
        if not isinstance(request, self.REQUESTS):
            raise InvalidRequest(f"{self.NOUN} {self.DOES}, nothing else")
        return self._job(request) if may_wait else self._quick_job(request)

    @abstractmethod
    def _job(self, request: Any) -> J:
        """Check a request, one of `REQUESTS`, and do all its host-side work.

        Raises:
            ServiceError: what the client gets; nothing was queued.
        """

    def _quick_job(self, request: Any) -> J:
        """As `_job`. Raises `TakesLong` where that would take seconds."""
        return self._job(request)

    def answer(self, question: Question) -> Answer:
        raise InvalidRequest(f"{self.NOUN} answers no questions about tokens")

    # ── MLX thread: jobs ────────────────────────────────────────────────────────────────────────────────────

    @property
    def gathers(self) -> float:
        return 0.0

    @property
    @abstractmethod
    def busy(self) -> bool: ...

    @abstractmethod
    def submit(self, job: Any) -> None: ...

    @abstractmethod
    def cancel(self, request_id: str) -> None: ...

    @abstractmethod
    def step(self, out: Outbox) -> None: ...

    @abstractmethod
    def recover(self, out: Outbox, error: BaseException) -> None: ...

    def memory(self) -> Memory:
        return Memory(
            active=mx.get_active_memory(), peak=mx.get_peak_memory(), cache=mx.get_cache_memory(), prefix_cache=0
        )


def _set_wired_limit(limit: int, device: str) -> None:
    if device != "metal":
        logger.warning("the wired limit has no effect: only macOS wires the memory of a model")
        return
    try:
        mx.set_wired_limit(limit)
    except Exception as error:
        raise EngineLoadError(f"--wired-limit: {error}") from error


def _freed_bytes(bound: int, device: str) -> int:
    """The bound on freed arrays, from that of an engine's class."""
    if device == "cuda":
        # A pass over many prompts frees and takes arrays of gigabytes, which CUDA would map into memory every time:
        # 0.3 of 1.8 s for 128 prompts of 519 tokens on an H200.
        return max(bound, device_memory() // 8)
    return min(bound, platform.total_memory() // 16)


def free_memory() -> int:
    """Bytes that can be allocated now: of the device's own memory where it reports them (CUDA), else of what Metal
    recommends to use and the system has."""
    device = mx.device_info()
    if (free := device.get("free_memory")) is not None:
        return int(free)
    if (advised := device.get("max_recommended_working_set_size")) is not None:
        return max(0, min(platform.available_memory(), int(advised) - mx.get_active_memory()))
    return platform.available_memory()


def device_memory() -> int:
    """Bytes that arrays can take at most: the device's own memory (CUDA), what Metal recommends, or the machine's."""
    device = mx.device_info()
    of_device = device.get("total_memory") or device.get("max_recommended_working_set_size")
    return int(of_device) if of_device else platform.total_memory()


def as_service_error(error: BaseException, request_id: str) -> ServiceError:
    """The error that the client gets. One that is not for clients is logged, and an `InternalError` takes its place.

    Call it in the request's context, which the log line names.
    """
    if isinstance(error, ServiceError):
        return error
    logger.error("request %s failed", request_id, exc_info=error)
    return failure_of(error)


def failure_of(error: BaseException) -> ServiceError:
    """The client's error for an exception that was logged and is not for clients."""
    if is_out_of_memory(error):
        return OutOfMemory("memory ran out; other requests go on, and this one may fit later", retry_after=5.0)
    return InternalError.unforeseen()


def release_arrays(error: BaseException) -> None:
    """Free the arrays that the frames of the error's traceback hold, and those that MLX keeps for reuse."""
    error.with_traceback(None)
    mx.clear_cache()


class _HasDeadline(Protocol):
    @property
    def deadline(self) -> float | None:
        """On `time.monotonic`'s clock."""


class _Expires(Job, _HasDeadline, Protocol): ...


X = TypeVar("X", bound=_Expires)


def is_late(job: _HasDeadline, now: float) -> bool:
    """Whether the request's own timeout is over. `now`: of `time.monotonic`."""
    return job.deadline is not None and now >= job.deadline


def late(jobs: Iterable[X], ranks: Ranks) -> list[X]:
    """The jobs whose own timeout is over, by rank 0's clock."""
    timed = {job.id: job for job in jobs if job.deadline is not None}
    if not timed:
        return []
    now = time.monotonic()
    return [timed[id] for id in ranks.agree([id for id, job in timed.items() if is_late(job, now)])]


def timed_out() -> GenerationTimeout:
    """The error of a request whose own timeout is over."""
    return GenerationTimeout("generation took longer than the request's timeout", param="timeout")
