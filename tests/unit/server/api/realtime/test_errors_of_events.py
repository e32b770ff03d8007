"""What is wrong with a message is an `error` event that names the client's event. The session goes on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.server.api.realtime.sockets import connected
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import make_app

MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ("", None),
        ("{", None),
        ("[]", None),
        ("null", None),
        ('{"type": "response.create"', None),
        ('{"event_id": "mine"}', "type"),
        ('{"type": 7, "event_id": "mine"}', "type"),
        ('{"type": "nonsense", "event_id": "mine"}', "type"),
        ('{"type": "response.cancel", "response_id": 3, "event_id": "mine"}', "response_id"),
        ('{"type": "session.update", "event_id": "mine"}', "session"),
        ('{"type": "session.update", "session": [], "event_id": "mine"}', None),
        ('{"type": "conversation.item.create", "item": {"type": "mcp_call"}, "event_id": "mine"}', "item.type"),
        ('{"type": "response.create", "response": {"temperature": "hot"}, "event_id": "mine"}', "response.temperature"),
        ('{"type": "response.create", "event_id": 5}', "event_id"),
        (DEEP, None),
        ('{"type": "session.update", "session": {"x": ' + DEEP, None),
    ],
)
async def test_messages_that_are_no_events(text: str, param: str | None) -> None:
    async with connected(make_app(FakeChat())) as socket:
        await socket.until("session.created")
        socket.send_text(text)
        if text.startswith('{"type": "session.update", "session": []'):
            assert await socket.until("session.updated")  # as PHP writes an empty object
        else:
            error = (await socket.until("error"))["error"]
            assert error["type"] == "invalid_request_error"
            assert error["param"] == param
            assert error["event_id"] == ("mine" if '"mine"' in text else None)
        socket.send("conversation.item.create", item=MESSAGE)
        socket.send("response.create")
        assert (await socket.until("response.done"))["response"]["status"] == "completed"


async def test_binary_messages_are_an_error() -> None:
    async with connected(make_app(FakeChat())) as socket:
        socket.send_bytes(b"\x00\x01")
        assert "binary" in (await socket.until("error"))["error"]["message"]
        socket.send("session.update", session={})
        await socket.until("session.updated")


@pytest.mark.parametrize(
    ("type", "fields", "code", "param"),
    [
        ("conversation.item.retrieve", {"item_id": "none"}, "not_found", "item_id"),
        ("conversation.item.delete", {"item_id": "none"}, "not_found", "item_id"),
        (
            "conversation.item.truncate",
            {"item_id": "none", "content_index": 0, "audio_end_ms": 5},
            "not_found",
            "item_id",
        ),
        ("conversation.item.create", {"item": MESSAGE, "previous_item_id": "none"}, None, "previous_item_id"),
        (
            "conversation.item.create",
            {"item": {**MESSAGE, "content": [{"type": "input_image", "image_url": "data:,"}]}},
            "unsupported_parameter",
            "item.content[0].type",
        ),
        ("response.cancel", {}, "response_cancel_not_active", None),
        ("response.cancel", {"response_id": "none"}, "response_cancel_not_active", None),
        ("output_audio_buffer.clear", {}, "unsupported_parameter", "type"),
        ("input_audio_buffer.append", {"audio": "AAAA"}, "unsupported_parameter", "audio"),
        ("response.create", {"response": {"output_modalities": ["audio"]}}, "unsupported_parameter", None),
        ("response.create", {"response": {"input": [{"type": "item_reference", "id": "none"}]}}, "not_found", None),
        ("response.create", {"response": {"prompt": {"id": "p"}}}, "unsupported_parameter", "response.prompt"),
        ("session.update", {"session": {"output_modalities": ["audio"]}}, "unsupported_parameter", None),
        ("session.update", {"session": {"type": "transcription"}}, None, "session.type"),
        ("session.update", {"session": {"tools": [{"type": "function"}]}}, None, "session.tools[0].name"),
        ("session.update", {"session": {"max_output_tokens": 0}}, None, "session.max_output_tokens"),
        ("session.update", {"session": {"max_output_tokens": "all"}}, None, "session.max_output_tokens"),
    ],
)
async def test_events_that_cannot_be_done(type: str, fields: dict[str, Any], code: str | None, param: str) -> None:
    async with connected(make_app(FakeChat())) as socket:
        await socket.until("session.created")
        socket.send(type, event_id="mine", **fields)
        error = (await socket.until("error"))["error"]
        assert error["code"] == (code or "invalid_request_error")
        assert param is None or error["param"] == param
        assert error["event_id"] == "mine"
        assert len(socket.events) == 2
        socket.send("session.update", session={"instructions": "still here"})
        await socket.until("session.updated")


async def test_a_response_to_nothing_fails() -> None:
    async with connected(make_app(FakeChat())) as socket:
        socket.send("response.create")
        done = (await socket.until("response.done"))["response"]
    assert done["status"] == "failed"
    assert "nothing to answer" in done["status_details"]["error"]["message"]


async def test_an_unknown_model_is_an_event_and_the_end() -> None:
    app = make_app(FakeChat(name="org/a"), FakeChat(name="org/b"))
    async with connected(app, "/v1/realtime?model=org/c") as socket:
        assert (await socket.until("error"))["error"]["code"] == "model_not_found"
        await socket.finished()
    assert socket.closed is not None
    assert socket.closed["code"] == 1008
