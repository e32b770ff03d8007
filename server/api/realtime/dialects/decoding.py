"""Messages of a client as events, and events as messages.

What is wrong with a message is an `InvalidRequest`, and the session goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs
import msgspec

from contracts.conversion.validation import is_validation_error
from contracts.realtime.client_events import CLIENT_EVENTS, ClientEvent, ItemCreate, ResponseCreate
from contracts.realtime.server_events import ServerEvent
from providers.errors import InvalidRequest
from server.errors import invalid_body
from server.noted import note_unknown
from server.serialization import converter, encode_contract

__all__ = ["CURRENT", "MAX_MESSAGE", "Dialect", "WrongEvent", "client_event"]

MAX_MESSAGE = 16 << 20
"""Characters of a message, which granian also allows in a frame. A larger frame ends the connection."""


class WrongEvent(Exception):
    """A message that is no event. `event_id`: its id, if it has one."""

    def __init__(self, error: InvalidRequest, event_id: str | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.event_id = event_id


def client_event(text: str, translate: Callable[[dict[str, Any]], dict[str, Any]] | None = None) -> ClientEvent:
    """The event of a message. `translate` gives it the current names first.

    Raises:
        WrongEvent: it is none.
    """
    if len(text) > MAX_MESSAGE:
        raise WrongEvent(InvalidRequest(f"the message has {len(text):,} characters; {MAX_MESSAGE:,} are allowed"))
    try:
        value = msgspec.json.decode(text)
    except RecursionError:
        raise WrongEvent(InvalidRequest("the message is nested too deeply")) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WrongEvent(InvalidRequest(f"the message is not valid JSON: {error}")) from None
    if not isinstance(value, dict):
        raise WrongEvent(InvalidRequest("the message is not a JSON object"))
    given = value.get("event_id")
    event_id = given[:512] if isinstance(given, str) else None
    try:
        return _structured(value if translate is None else translate(value))
    except InvalidRequest as error:
        raise WrongEvent(error, event_id) from None


def _structured(value: dict[str, Any]) -> ClientEvent:
    kind = value.get("type")
    if kind is None:
        raise InvalidRequest("type: required, but missing", param="type")
    contract = CLIENT_EVENTS.get(kind) if isinstance(kind, str) else None
    if contract is None:
        known = ", ".join(CLIENT_EVENTS)
        raise InvalidRequest(f"type: {json.dumps(kind)[:80]} is no event of a client; they are {known}", param="type")
    try:
        event: ClientEvent = converter.structure(value, contract)
    except Exception as error:
        if not is_validation_error(error):
            raise
        raise invalid_body(error) from None
    if isinstance(event, (ItemCreate, ResponseCreate)):
        name = "item" if isinstance(event, ItemCreate) else "response"
        inner = getattr(event, name)
        if attrs.has(type(inner)):
            note_unknown(value[name], inner, f"{name}.")
    return event


@attrs.frozen
class Dialect:
    """How the events of a connection look on its socket."""

    read: Callable[[str], ClientEvent]
    """Raises: WrongEvent."""
    write: Callable[[ServerEvent], str | None]
    """None: the dialect has no such event."""


CURRENT = Dialect(client_event, lambda event: encode_contract(event).decode())
"""OpenAI's protocol since its beta."""
