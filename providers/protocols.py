"""What every provider offers, whatever its model can do.

What only some can do is one narrow Protocol per capability, in the capability's folder: `providers/chat/protocol.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Literal, NoReturn, Protocol, TypeVar, runtime_checkable

import attrs

from providers.capabilities import CapabilityName, ImageTask
from providers.chat.types import SamplingParams
from providers.spec import ModelSpec

__all__ = [
    "Capability",
    "Medium",
    "ModelCard",
    "ModelStatus",
    "Provider",
    "QueueStats",
    "ReplicaState",
    "ResidentState",
]

ModelStatus = Literal["unloaded", "loading", "ready", "restarting", "failed", "stopped", "unavailable"]
"""`unavailable`: an extra that the model needs is not installed."""

Medium = Literal["image"]


@attrs.frozen(kw_only=True)
class ReplicaState:
    """One of several engines of a model."""

    replica: int
    """Its number, counted from 0."""
    status: ModelStatus
    detail: str | None = None
    device: int | None = None
    """Number of its CUDA device, where one was chosen; that of rank 0, where it is several processes."""
    active: int = 0
    """Answers that it generates now."""
    routed: Mapping[str, int] = attrs.field(factory=dict, hash=False)
    """Requests that it was sent since the start, by the reason for it."""


@attrs.frozen(kw_only=True)
class ModelCard:
    """What a client may know of a model."""

    id: str
    created: int
    """Unix seconds at which this server began to serve it."""
    capabilities: tuple[CapabilityName, ...]
    status: ModelStatus
    context_length: int | None = None
    """Tokens; None until the engine has reported its model's own limit, and for models that have no context."""
    detail: str | None = None
    """Why a model failed or is unavailable; what a loading one is doing."""
    sampling: SamplingParams = attrs.field(factory=SamplingParams)
    """How tokens are chosen where a request leaves it open, as far as it is known."""
    aliases: tuple[str, ...] = ()
    """Further ids to which the model answers."""
    pinned: bool = False
    """Whether the model stays in memory whatever others need."""
    on_demand: bool = False
    """Whether a request loads the model, if it is not loaded."""
    reads: tuple[Medium, ...] = ()
    """What a conversation may hold beside text."""
    images: tuple[ImageTask, ...] = ()
    """What an image model does."""
    progress: float | None = None
    """The part of a load's current stage that is done, where it is known."""
    replicas: tuple[ReplicaState, ...] = ()
    """Its engines, where the model has several."""


@attrs.frozen(kw_only=True)
class QueueStats:
    """Counters since start, and times in seconds over the most recent requests."""

    active: int = 0
    pending: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    rejected: int = 0
    wait_seconds_mean: float = 0.0
    wait_seconds_max: float = 0.0
    service_seconds_mean: float = 0.0
    service_seconds_max: float = 0.0


@attrs.frozen(kw_only=True)
class ResidentState:
    """A model's place in memory. Sizes are bytes, times seconds."""

    pinned: bool = False
    uses: int = 0
    """Requests and questions in the engine, or waiting for it to load."""
    memory: int = 0
    """What it was measured to have, or will need while it loads."""
    idle: float = 0.0
    """Seconds since it was used last; 0 while it is in use."""


@runtime_checkable
class Provider(Protocol):
    """One served model, from start to stop."""

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def card(self) -> ModelCard: ...

    @property
    def queue_stats(self) -> QueueStats: ...

    @property
    def memory(self) -> ResidentState: ...

    @property
    def full(self) -> bool:
        """Whether the queue has no room for a further request."""

    def refuse_full(self) -> NoReturn:
        """Refuse a request that was not read, and count it.

        Raises:
            QueueFull: always.
        """

    async def start(self) -> None:
        """Begin loading, unless `spec.lazy`, and return immediately; `card.status` and `wait_ready` report progress."""

    def begin_load(self) -> None:
        """Begin to load, whether it is `lazy` or not; does nothing while it loads or is loaded.

        Raises:
            ModelNotReady, ExtraNotInstalled: it never will.
        """

    async def load(self) -> None:
        """Load the model if necessary, and return when it can answer. Cancelling the call does not end the load.

        Raises:
            ModelNotReady, ExtraNotInstalled: it cannot be loaded.
            DoesNotFit, QueueTimeout: there is no memory for it.
        """

    async def unload(self) -> None:
        """Free the model's memory when the requests that use it have ended; the next request loads it again.

        Requests that arrive meanwhile wait. Cancelling the call before it was unloaded leaves it loaded.
        """

    def pin(self, pinned: bool) -> None:
        """Keep the model in memory whatever others need, or no longer."""

    async def wait_ready(self) -> None:
        """Return when the model can answer, or will be loaded by the first request.

        Raises:
            ModelNotReady, ExtraNotInstalled, DoesNotFit: it never will.
        """

    def begin_drain(self) -> None:
        """Admit no more requests: those that wait or arrive fail with `ModelNotReady`. Idempotent."""

    async def stop(self) -> None:
        """Release the model. Requests still in it fail with `ModelNotReady`. Idempotent."""


P_co = TypeVar("P_co", bound=Provider, covariant=True)


@attrs.frozen
class Capability(Generic[P_co]):
    """Key of `ModelRegistry.find`: the name of a capability, and for the type checker the Protocol of its providers."""

    name: CapabilityName
    does: str
    """What its models do, in the third person, for error messages."""
