"""`POST /v1/realtime/client_secrets`: keys for clients that must not have the server's."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import Ge, Le

from contracts._fields import JsonObject
from contracts.parameters import honoured
from contracts.realtime.session import RealtimeSession

__all__ = ["ClientSecret", "CreateClientSecretRequest", "ExpiresAfter"]


@attrs.frozen(kw_only=True)
class ExpiresAfter:
    """How long a key lets a client connect, in seconds. Sessions go on after it."""

    anchor: Literal["created_at"] = "created_at"
    seconds: Annotated[int, Ge(10), Le(7200)] = 600


@attrs.frozen(kw_only=True)
class CreateClientSecretRequest:
    """A key, and the settings of the sessions that it opens."""

    expires_after: ExpiresAfter | None = attrs.field(
        default=None,
        metadata=honoured(
            "Until then the key opens sessions; they go on after it.",
            values='`{"seconds": 10 to 7200}`',
            otherwise="600 seconds",
        ),
    )
    session: JsonObject | None = attrs.field(
        default=None,
        metadata=honoured("The settings that its sessions begin with.", values="as [a session](#sessions)", default={}),
    )


@attrs.frozen(kw_only=True)
class ClientSecret:
    """A key of one client."""

    value: str
    expires_at: int
    """Unix seconds."""
    session: RealtimeSession
