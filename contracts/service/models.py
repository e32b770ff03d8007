"""`GET /v1/models`: the models that this server answers with."""

from __future__ import annotations

from typing import Literal

import attrs

__all__ = ["Model", "ModelList", "ModelStatus"]

ModelStatus = Literal["unloaded", "loading", "ready", "restarting", "failed", "stopped", "unavailable"]


@attrs.frozen(kw_only=True)
class Model:
    """A served model. `context_length` is in tokens, and left out until the engine has reported it."""

    id: str
    object: Literal["model"] = "model"
    created: int
    """Unix seconds of the time when this server began to serve the model."""
    owned_by: str
    context_length: int | None = None
    capabilities: list[Literal["chat", "embeddings", "transcription", "speech", "image"]]
    status: ModelStatus
    detail: str | None = None
    """Why a model failed; the command that installs what an unavailable one needs; what a loading one is doing."""


@attrs.frozen(kw_only=True)
class ModelList:
    """Every served model."""

    object: Literal["list"] = "list"
    data: list[Model]
