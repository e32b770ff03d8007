"""`GET /health` and its kin."""

from __future__ import annotations

from typing import Literal

import attrs

from contracts.service.models import ModelStatus

__all__ = ["Health", "Liveness"]


@attrs.frozen(kw_only=True)
class Liveness:
    """The process answers."""

    status: Literal["ok"] = "ok"


@attrs.frozen(kw_only=True)
class Health:
    """How the server and each of its models are.

    `ok`: every model can answer. `loading`: one is on its way. `degraded`: one failed, others answer.
    `failed`: none will answer. `draining`: the server is shutting down.
    """

    status: Literal["ok", "loading", "degraded", "failed", "draining"]
    version: str
    models: dict[str, ModelStatus]
