"""`GET /`: a page for browsers, and a JSON index for every other client."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from litestar import Controller, MediaType, Request, Response, get

from contracts.service.index import Index
from server.api.error_responses import errors
from server.dependencies import ServiceDependency

__all__ = ["IndexController"]

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""The page loads no other resource."""
_ENDPOINTS = (
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/rerank",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/models",
    "/health",
)


class IndexController(Controller):
    path = "/"
    tags = ("Service",)
    opt = {"open": True}  # noqa: RUF012

    @get(
        media_type=MediaType.JSON,
        operation_id="getIndex",
        name="index",
        summary="Name the server and its endpoints",
        description="A page for browsers, JSON for every other client.",
        responses=errors(500),
    )
    async def index(self, request: Request[Any, Any, Any], service: ServiceDependency) -> Response[Index]:
        if "text/html" in request.headers.get("accept", ""):
            headers = {"content-security-policy": _POLICY}
            return Response(_page(), media_type=MediaType.HTML, headers=headers)  # type: ignore[arg-type]
        return Response(Index(version=service.version, endpoints=[*_ENDPOINTS]))


@cache
def _page() -> bytes:
    return (files("server") / "static" / "index.html").read_bytes()
