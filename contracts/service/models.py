"""`/v1/models`: the models that this server answers with, and what loads and unloads them."""

from __future__ import annotations

from typing import Literal

import attrs

from contracts.parameters import honoured

__all__ = [
    "Input",
    "LoadModelRequest",
    "Model",
    "ModelArchitecture",
    "ModelList",
    "ModelStatus",
    "Output",
    "PinModelRequest",
    "Replica",
]

Input = Literal["text", "image", "audio"]
Output = Literal["text", "image", "audio", "embeddings"]
ModelStatus = Literal["unloaded", "loading", "ready", "restarting", "failed", "stopped", "unavailable"]


@attrs.frozen(kw_only=True)
class ModelArchitecture:
    """What goes into a model, and what comes out."""

    modality: str
    """Both, as in `text+image->text`."""
    input_modalities: list[Input]
    output_modalities: list[Output]


@attrs.frozen(kw_only=True)
class Replica:
    """One of several engines of a model."""

    replica: int
    """Its number, counted from 0."""
    status: ModelStatus
    detail: str | None = None
    device: int | None = None
    """Number of its CUDA device, where `--devices` chose one; that of rank 0, where several processes are a replica."""
    active: int
    """Answers that it generates."""
    routed: dict[str, int]
    """Requests that it was sent, by the reason: it had the beginning of the prompt (`prefix`), the last request with
    the same key (`key`), or least to do (`load`; `overload` where another one had the prompt)."""


@attrs.frozen(kw_only=True)
class Model:
    """A served model. `context_length` is in tokens, and left out until the engine has reported it."""

    id: str
    object: Literal["model"] = "model"
    created: int
    """Unix seconds of the time when this server began to serve the model."""
    owned_by: str
    context_length: int | None = None
    capabilities: list[
        Literal["chat", "embeddings", "transcription", "speech", "image", "image_generation", "image_edit"]
    ]
    """An `image` model also has `image_generation`, `image_edit`, or both."""
    architecture: ModelArchitecture
    """Extension, as OpenRouter's."""
    input_modalities: list[Literal["text", "image"]] | None = None
    """What a chat model reads, if it reads more than text."""
    status: ModelStatus
    detail: str | None = None
    """Why a model failed; the command that installs what an unavailable one needs; what a loading one is doing."""
    progress: float | None = None
    """The part of a load's current stage that is done, from 0 to 1, where it is known."""
    aliases: list[str] | None = None
    """Further ids to which the model answers, if it has any."""
    replicas: list[Replica] | None = None
    """Extension. The model's engines, if it has several (`--replicas`)."""
    pinned: bool
    """Whether the model stays in memory, however long it is idle and whatever others need."""


@attrs.frozen(kw_only=True)
class ModelList:
    """Every served model."""

    object: Literal["list"] = "list"
    data: list[Model]


@attrs.frozen(kw_only=True)
class LoadModelRequest:
    """How to load a model. The body may be left out."""

    wait: bool | None = attrs.field(
        default=None,
        metadata=honoured("Answer when the model is ready; false: immediately, with 202 while it loads.", default=True),
    )


@attrs.frozen(kw_only=True)
class PinModelRequest:
    """Whether to keep a model in memory. The body may be left out."""

    pinned: bool | None = attrs.field(
        default=None, metadata=honoured("Keep the model in memory until the server ends.", default=True)
    )
