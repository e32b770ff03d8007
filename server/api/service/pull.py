"""`/v1/models/pull`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from litestar import Controller, MediaType, Request, Response, post
from litestar.params import JSONBody

from contracts.service.pull import PulledModel, PullModelRequest, PullProgress
from providers.errors import InternalError
from providers.weights.pulls import Pulled, PullEvent
from server.api.error_responses import PULLING, errors
from server.api.openapi import StreamedPullOperation
from server.dependencies import ServiceDependency
from server.guards import json_body
from server.streaming.sse import data_message

__all__ = ["PullController"]


class PullController(Controller):
    path = "/v1/models/pull"
    tags = ("Models",)

    @post(
        before_request=json_body,
        status_code=200,
        media_type=MediaType.JSON,
        operation_id="pullModel",
        name="models.pull",
        summary="Fetch a model's weights",
        description="Responds when the weights are complete, or with server-sent events when `stream` is true. A "
        "download ends with the last request that follows it, and the next one resumes it.",
        operation_class=StreamedPullOperation,
        responses=errors(*PULLING),
    )
    async def pull(
        self, request: Request[Any, Any, Any], data: JSONBody[PullModelRequest], service: ServiceDependency
    ) -> Response[PulledModel]:
        events = aclosing(service.pulls.follow(data.model))
        if data.stream:
            return service.streamed(events, _PullEncoder(data.model))
        async with service.answering(request.receive), events as source:
            async for event in source:
                if isinstance(event, Pulled):
                    return Response(PulledModel(model=data.model, size=event.size))
        raise InternalError.truncated("pull")


class _PullEncoder:
    """Writes the progress of a pull. Of several events, only the last of each stage."""

    def __init__(self, model: str) -> None:
        self._model = model

    def encode(self, events: Sequence[PullEvent]) -> bytes:
        last: dict[str, PullProgress | PulledModel] = {}
        for event in events:
            if isinstance(event, Pulled):
                last[""] = PulledModel(model=self._model, size=event.size)
            else:
                last[event.status] = PullProgress(
                    status=event.status, digest=event.digest, total=event.total, completed=event.completed
                )
        return b"".join(map(data_message, last.values()))
