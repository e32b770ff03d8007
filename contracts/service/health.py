"""`GET /health`, `/v1/health/live` and `/v1/health/ready`."""

from __future__ import annotations

from typing import Literal

import attrs

from contracts.service.models import ModelStatus

__all__ = ["Health", "Liveness"]


@attrs.frozen(kw_only=True)
class Liveness:
    """The process responds."""

    status: Literal["ok"] = "ok"


@attrs.frozen(kw_only=True)
class Health:
    """The state of the server and of each model.

    `ok`: every model that loads at start can answer. `loading`: at least one of them is loading. `degraded`: one failed
    and others answer. `failed`: none can answer. `draining`: the server is shutting down.
    """

    status: Literal["ok", "loading", "degraded", "failed", "draining"]
    version: str
    model_id: str | None = None
    """The default model: the first that loads at start."""
    model_status: ModelStatus | None = None
    models: dict[str, ModelStatus]
