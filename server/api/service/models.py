"""`/v1/models`: what is served, and what is in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import attrs
from litestar import Controller, MediaType, Request, Response, delete, get, post
from litestar.openapi import ResponseSpec
from litestar.params import JSONBody, Parameter

from contracts.service.models import (
    Input,
    LoadModelRequest,
    Model,
    ModelArchitecture,
    ModelList,
    Output,
    PinModelRequest,
    Replica,
)
from providers.capabilities import CapabilityName, ImageTask
from providers.protocols import ModelCard
from server.api.error_responses import errors
from server.dependencies import ServiceDependency

__all__ = ["ModelsController", "replicas"]

OWNER = "local"

_IMAGES: Mapping[ImageTask, Literal["image_generation", "image_edit"]] = {
    "generate": "image_generation",
    "edit": "image_edit",
}
_MODALITIES: Mapping[CapabilityName, tuple[Input, Output]] = {
    "chat": ("text", "text"),
    "embeddings": ("text", "embeddings"),
    "transcription": ("audio", "text"),
    "speech": ("text", "audio"),
    "image": ("text", "image"),
}
"""What every model with a capability takes, and what it makes."""

ModelId = Annotated[str, Parameter(description="The model's id or one of its aliases; may contain slashes.")]
"""Arrives as one segment: `server.middleware.addressing` quotes it."""

_LOADING = ResponseSpec(Model, generate_examples=False, description="The model loads; `GET` has its progress.")


class ModelsController(Controller):
    path = "/v1/models"
    tags = ("Models",)

    @get(
        operation_id="listModels",
        name="models.list",
        summary="List the served models",
        responses=errors(401, 500),
    )
    async def list(self, service: ServiceDependency) -> ModelList:
        return ModelList(data=[_model(provider.card) for provider in service.registry.providers()])

    @get(
        "/{model_id:str}",
        operation_id="retrieveModel",
        name="models.retrieve",
        summary="Describe a served model",
        responses=errors(400, 401, 404, 500),
    )
    async def retrieve(self, model_id: ModelId, service: ServiceDependency) -> Model:
        return _model(service.registry.card(unquote(model_id)))

    @post(
        "/{model_id:str}/load",
        status_code=200,
        media_type=MediaType.JSON,
        operation_id="loadModel",
        name="models.load",
        summary="Load a model into memory",
        description=(
            "Extension. Answers when the model is ready. Other models that are idle and not pinned leave, the least "
            "recently used first, where the limit of memory demands it. A client that goes away does not end the load."
        ),
        responses={202: _LOADING, **errors(400, 401, 404, 500, 501, 503, 507)},
    )
    async def load(
        self,
        request: Request[Any, Any, Any],
        model_id: ModelId,
        service: ServiceDependency,
        data: JSONBody[LoadModelRequest | None] = None,
    ) -> Response[Model]:
        provider = service.registry.provider(unquote(model_id))
        if data is not None and data.wait is False:
            provider.begin_load()
        else:
            async with service.answering(request.receive):
                await provider.load()
        return Response(_model(provider.card), status_code=200 if provider.card.status == "ready" else 202)

    @post(
        "/{model_id:str}/unload",
        status_code=200,
        operation_id="unloadModel",
        name="models.unload",
        summary="Free a model's memory",
        description=(
            "Extension. Answers when the memory is free, after the requests that use the model have ended. Requests "
            "that arrive meanwhile wait, and load it again. A client that goes away before takes its wish back."
        ),
        responses=errors(400, 401, 404, 500, 503),
    )
    async def unload(self, request: Request[Any, Any, Any], model_id: ModelId, service: ServiceDependency) -> Model:
        provider = service.registry.provider(unquote(model_id))
        async with service.answering(request.receive):
            await provider.unload()
        return _model(provider.card)

    @post(
        "/{model_id:str}/pin",
        status_code=200,
        operation_id="pinModel",
        name="models.pin",
        summary="Keep a model in memory, or no longer",
        description=(
            "Extension. A pinned model leaves only when a client unloads it. Pinning does not load it, and lasts until "
            "the server ends."
        ),
        responses=errors(400, 401, 404, 500, 501),
    )
    async def pin(
        self, model_id: ModelId, service: ServiceDependency, data: JSONBody[PinModelRequest | None] = None
    ) -> Model:
        provider = service.registry.provider(unquote(model_id))
        provider.pin(data is None or data.pinned is not False)
        return _model(provider.card)

    @delete(
        "/{model_id:str}/pin",
        status_code=200,
        operation_id="unpinModel",
        name="models.unpin",
        summary="Keep a model in memory no longer",
        description="Extension. The same as `pinned` false.",
        responses=errors(400, 401, 404, 500, 501),
    )
    async def unpin(self, model_id: ModelId, service: ServiceDependency) -> Model:
        provider = service.registry.provider(unquote(model_id))
        provider.pin(False)
        return _model(provider.card)


def _architecture(card: ModelCard) -> ModelArchitecture:
    inputs: dict[Input, None] = {}
    outputs: dict[Output, None] = {}
    for capability in card.capabilities:
        taken, made = _MODALITIES[capability]
        inputs[taken], outputs[made] = None, None
    if card.reads or "edit" in card.images:
        inputs["image"] = None
    modality = f"{'+'.join(inputs)}->{'+'.join(outputs)}"
    return ModelArchitecture(modality=modality, input_modalities=[*inputs], output_modalities=[*outputs])


def replicas(card: ModelCard) -> list[Replica] | None:
    """The model's engines, if it has several."""
    return [Replica(**{**attrs.asdict(each), "routed": dict(each.routed)}) for each in card.replicas] or None


def _model(card: ModelCard) -> Model:
    return Model(
        id=card.id,
        created=card.created,
        owned_by=OWNER,
        context_length=card.context_length,
        capabilities=[*card.capabilities, *(_IMAGES[task] for task in card.images)],
        architecture=_architecture(card),
        input_modalities=["text", *card.reads] if card.reads else None,
        status=card.status,
        detail=card.detail,
        progress=card.progress,
        aliases=[*card.aliases] or None,
        replicas=replicas(card),
        pinned=card.pinned,
    )
