"""`/internal/diagnostics`: the state of a server, for bug reports. It has no prompts and no keys."""

from __future__ import annotations

from typing import Any

import attrs

__all__ = ["Diagnostics", "EngineDiagnostics", "ModelDiagnostics", "ProcessDiagnostics", "RecentError"]


@attrs.frozen(kw_only=True)
class RecentError:
    """A request that failed because of the server. `time` is in Unix seconds; `path` is the template of the route."""

    time: float
    request_id: str
    method: str
    path: str
    status: int | None
    code: str
    model: str | None


@attrs.frozen(kw_only=True)
class EngineDiagnostics:
    """An engine process. Sizes are bytes."""

    replica: int | None = None
    """Its number, if the model has several engines; the next four fields are then set too."""
    status: str | None = None
    device: int | None = None
    """Number of its CUDA device, where one was chosen; that of rank 0, where it is several processes."""
    active: int | None = None
    """Answers that it generates."""
    routed: dict[str, int] | None = None
    """Requests that it was sent, by the reason for it."""
    pid: int | None
    restarts: int
    last_death: str | None
    memory: dict[str, int]
    """`rss`, and MLX's own `active`, `peak` and `cache`."""
    prefix_cache: int | None
    info: dict[str, Any] | None
    """Device, dtype, BLAS, seconds to load, and what else the engine reports. None before it is ready."""


@attrs.frozen(kw_only=True)
class ModelDiagnostics:
    id: str
    type: str
    status: str
    detail: str | None
    capabilities: list[str]
    context_length: int | None
    lazy: bool
    pin: bool
    load_policy: str
    limits: dict[str, float | None]
    queue: dict[str, float]
    tokens: dict[str, int]
    hit_ratio: float | None
    """The share of prompt tokens that were read from the prefix cache."""
    engine: EngineDiagnostics | None
    """None for a model without a process, and with several."""
    replicas: list[EngineDiagnostics] | None = None
    """The processes of a model with several."""


@attrs.frozen(kw_only=True)
class ProcessDiagnostics:
    """The server's own process."""

    pid: int
    uptime: float
    rss: int | None
    draining: bool
    system: str
    machine: str
    cpus: int | None


@attrs.frozen(kw_only=True)
class Diagnostics:
    versions: dict[str, str | None]
    server: ProcessDiagnostics
    models: list[ModelDiagnostics]
    errors: list[RecentError]
    """The last errors, the newest first."""
