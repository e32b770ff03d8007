"""The events that a realtime client sends."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import Ge, Le, MaxLen

from contracts._fields import JsonObject
from contracts.realtime.items import ItemId, RealtimeItem
from contracts.realtime.response import RealtimeResponseCreateParams

__all__ = [
    "CLIENT_EVENTS",
    "ClientEvent",
    "InputAudioAppend",
    "InputAudioClear",
    "InputAudioCommit",
    "ItemCreate",
    "ItemDelete",
    "ItemRetrieve",
    "ItemTruncate",
    "OutputAudioClear",
    "ResponseCancel",
    "ResponseCreate",
    "SessionUpdate",
]

EventId = Annotated[str, MaxLen(512)]


@attrs.frozen(kw_only=True)
class SessionUpdate:
    """Change settings. `session` is `RealtimeSessionConfig`, of which only the fields that are sent change."""

    type: Literal["session.update"]
    event_id: EventId | None = None
    session: JsonObject


@attrs.frozen(kw_only=True)
class ItemCreate:
    """Add an item: after another one, at the beginning (`root`), or at the end."""

    type: Literal["conversation.item.create"]
    event_id: EventId | None = None
    previous_item_id: str | None = None
    item: RealtimeItem


@attrs.frozen(kw_only=True)
class ItemRetrieve:
    """Ask for an item with its sound."""

    type: Literal["conversation.item.retrieve"]
    event_id: EventId | None = None
    item_id: ItemId


@attrs.frozen(kw_only=True)
class ItemTruncate:
    """Cut a spoken answer at what was played."""

    type: Literal["conversation.item.truncate"]
    event_id: EventId | None = None
    item_id: ItemId
    content_index: Annotated[int, Ge(0)] = 0
    audio_end_ms: Annotated[int, Ge(0), Le(86_400_000)]


@attrs.frozen(kw_only=True)
class ItemDelete:
    """Remove an item."""

    type: Literal["conversation.item.delete"]
    event_id: EventId | None = None
    item_id: ItemId


@attrs.frozen(kw_only=True)
class InputAudioAppend:
    """Sound of the user, in base64 of the session's format."""

    type: Literal["input_audio_buffer.append"]
    event_id: EventId | None = None
    audio: str


@attrs.frozen(kw_only=True)
class InputAudioCommit:
    """Make a turn of the user of the sound so far."""

    type: Literal["input_audio_buffer.commit"]
    event_id: EventId | None = None


@attrs.frozen(kw_only=True)
class InputAudioClear:
    """Drop the sound so far."""

    type: Literal["input_audio_buffer.clear"]
    event_id: EventId | None = None


@attrs.frozen(kw_only=True)
class OutputAudioClear:
    """Of WebRTC only: a WebSocket has no buffer of the output on the server."""

    type: Literal["output_audio_buffer.clear"]
    event_id: EventId | None = None


@attrs.frozen(kw_only=True)
class ResponseCreate:
    """Answer."""

    type: Literal["response.create"]
    event_id: EventId | None = None
    response: RealtimeResponseCreateParams | None = None


@attrs.frozen(kw_only=True)
class ResponseCancel:
    """Stop an answer; without an id, that of the conversation."""

    type: Literal["response.cancel"]
    event_id: EventId | None = None
    response_id: str | None = None


ClientEvent = (
    SessionUpdate
    | ItemCreate
    | ItemRetrieve
    | ItemTruncate
    | ItemDelete
    | InputAudioAppend
    | InputAudioCommit
    | InputAudioClear
    | OutputAudioClear
    | ResponseCreate
    | ResponseCancel
)

CLIENT_EVENTS: dict[str, type[ClientEvent]] = {
    "session.update": SessionUpdate,
    "conversation.item.create": ItemCreate,
    "conversation.item.retrieve": ItemRetrieve,
    "conversation.item.truncate": ItemTruncate,
    "conversation.item.delete": ItemDelete,
    "input_audio_buffer.append": InputAudioAppend,
    "input_audio_buffer.commit": InputAudioCommit,
    "input_audio_buffer.clear": InputAudioClear,
    "output_audio_buffer.clear": OutputAudioClear,
    "response.create": ResponseCreate,
    "response.cancel": ResponseCancel,
}
"""The class of each `type`."""
