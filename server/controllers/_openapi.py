"""What Litestar's OpenAPI generator cannot say by itself."""

from __future__ import annotations

from dataclasses import dataclass

from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, Schema
from litestar.openapi.spec.enums import OpenAPIType

__all__ = ["StreamedOperation"]


@dataclass
class StreamedOperation(Operation):
    """An operation whose 200 is JSON, or a stream of server-sent events."""

    def __post_init__(self) -> None:
        response = (self.responses or {}).get("200")
        if isinstance(response, OpenAPIResponse) and response.content is not None:
            response.content["text/event-stream"] = OpenAPIMediaType(
                schema=Schema(
                    type=OpenAPIType.STRING,
                    description="`data: <ChatCompletionChunk>` messages, then `data: [DONE]`; a failure on the way is "
                    "`data: <ErrorResponse>`. Lines that begin with a colon are comments.",
                )
            )
