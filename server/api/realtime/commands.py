"""What a session asks its connection to do, beside sending events."""

from __future__ import annotations

import attrs

from contracts.realtime.server_events import ServerEvent
from server.api.realtime.audio.turns import Utterance
from server.api.realtime.conversation import Item
from server.api.realtime.response import RunningResponse

__all__ = ["Command", "Output", "Overhear", "StartResponse", "StopResponse", "Transcribe", "Wake"]


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
    utterance: Utterance | None = None
    """The turn in which it was said."""


@attrs.frozen
class Overhear:
    """Transcribe the turn that goes on, if the models have time, and pass the text to `Session.overheard`."""

    item_id: str
    utterance: Utterance


@attrs.frozen
class Wake:
    """Call `Session.woken` with the number, after this many seconds."""

    seconds: float
    number: int


Command = StartResponse | StopResponse | Transcribe | Overhear | Wake
Output = ServerEvent | Command
"""In the order in which a session returns them."""
