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

    `ok`: every model can answer. `loading`: one is loading. `degraded`: one failed, others answer.
    `failed`: none can answer. `draining`: the server is shutting down.
    """

    status: Literal["ok", "loading", "degraded", "failed", "draining"]
    version: str
    models: dict[str, ModelStatus]
