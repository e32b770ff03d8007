"""An ASGI application that streams, where Litestar expects a response."""

from __future__ import annotations

from typing import Any

from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.types import ASGIApp

__all__ = ["StreamResponse"]


class StreamResponse(Response[Any]):
    """Hands the request over to a stream, which sends its own status and headers."""

    def __init__(self, stream: ASGIApp) -> None:
        super().__init__(None, media_type="application/octet-stream")
        self._stream = stream

    def to_asgi_response(self, *args: Any, **kwargs: Any) -> ASGIResponse:
        return self._stream  # type: ignore[return-value]  # any ASGI application will do
