"""What a session asks its connection to do, beside sending events."""

from __future__ import annotations

import attrs

from contracts.realtime.server_events import ServerEvent
from server.api.realtime.conversation import Item
from server.api.realtime.response import RunningResponse

__all__ = ["Command", "Output", "StartResponse", "StopResponse", "Transcribe"]


@attrs.frozen
class StartResponse:
    """Generate the answer, and pass its events to `Session.generated`."""

    response: RunningResponse


@attrs.frozen
class StopResponse:
    """Stop generation and speech of a response that has ended for the client."""

    response_id: str


@attrs.frozen
class Transcribe:
    """Write down the sound of an item, and pass the text to `Session.transcribed`."""

    item: Item


Command = StartResponse | StopResponse | Transcribe
Output = ServerEvent | Command
"""In the order in which a session returns them."""
