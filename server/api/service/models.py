"""`/v1/models`."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get
from litestar.params import Parameter

from contracts.service.models import Model, ModelList
from providers.protocols import ModelCard
from server.api.error_responses import errors
from server.dependencies import ServiceDependency

__all__ = ["ModelsController"]

OWNER = "local"


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
        "/{model_id:path}",
        operation_id="retrieveModel",
        name="models.retrieve",
        summary="Describe a served model",
        responses=errors(400, 401, 404, 500),
    )
    async def retrieve(
        self,
        model_id: Annotated[str, Parameter(description="The model's id; may contain slashes.")],
        service: ServiceDependency,
    ) -> Model:
        return _model(service.registry.card(model_id.removeprefix("/")))


def _model(card: ModelCard) -> Model:
    return Model(
        id=card.id,
        created=card.created,
        owned_by=OWNER,
        context_length=card.context_length,
        capabilities=[*card.capabilities],
        status=card.status,
        detail=card.detail,
    )
