"""`POST /v1/models/pull`: fetch a model's weights, with the fields of Ollama's `/api/pull`."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import MaxLen, MinLen

from contracts.parameters import honoured

__all__ = ["PullModelRequest", "PullProgress", "PulledModel"]


@attrs.frozen(kw_only=True)
class PullModelRequest:
    """The weights to fetch. Those that are on the server's machine already are not fetched again."""

    model: Annotated[str, MinLen(1), MaxLen(512)] = attrs.field(
        metadata=honoured(
            "A folder or file of the server's machine is no name.", values="`embedded:id`, `org/name[@revision]`"
        )
    )
    stream: bool | None = attrs.field(
        default=None,
        metadata=honoured(
            "Server-sent events with the progress. The download ends with the last request that follows it.",
            default=False,
        ),
    )


@attrs.frozen(kw_only=True)
class PullProgress:
    """An event of a stream: what is done now. Sizes are in bytes, and left out where they are unknown."""

    status: str
    """Text for people, such as the name of the file and of the step."""
    digest: str | None = None
    """Of the file that is fetched, where it is known in advance: `sha256:` and hexadecimal digits."""
    total: int | None = None
    completed: int | None = None


@attrs.frozen(kw_only=True)
class PulledModel:
    """The answer, and the last event of a stream."""

    status: Literal["success"] = "success"
    model: str
    size: int
    """Bytes of the model's files."""
