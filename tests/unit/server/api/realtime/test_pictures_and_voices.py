"""What only a model knows: whether it reads pictures, and which voices it has."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.server.api.realtime.sockets import Socket, connected
from tests.unit.server.api.showing import BAD, data_url, read, reader
from tests.unit.server.api.spoken.apps import speaking_app
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app
from tests.unit.server.media.drawn import plain


def show(socket: Socket, url: str) -> None:
    content = [{"type": "input_image", "image_url": url}, {"type": "input_text", "text": "Why?"}]
    socket.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    socket.send("response.create")


async def test_a_picture_is_read() -> None:
    model = reader()
    async with connected(make_app(model)) as socket:
        show(socket, data_url(plain(64, 32)))
        assert (await socket.until("response.done"))["response"]["status"] == "completed"
    assert read(model) == ["[64x32]\nWhy?"]


async def test_a_model_that_reads_none_refuses_it() -> None:
    async with connected(make_app(FakeChat())) as socket:
        show(socket, data_url(plain(8, 8)))
        assert (await socket.until("error"))["error"]["param"] == "item.content[0].type"


async def test_a_picture_that_cannot_be_read_fails_the_response() -> None:
    url, reason = BAD["truncated"]
    async with connected(make_app(reader())) as socket:
        show(socket, url)
        done = (await socket.until("response.done"))["response"]
    assert done["status"] == "failed"
    assert reason in done["status_details"]["error"]["message"]


@pytest.mark.parametrize(
    ("output", "param"),
    [
        ({"voice": "nobody"}, "session.audio.output.voice"),
        ({"gesture_seed": 3}, "session.audio.output.gesture_seed"),
    ],
)
async def test_a_voice_that_no_model_has_is_refused_when_it_is_set(output: dict[str, Any], param: str) -> None:
    app = await speaking_app(FakeChat())
    async with connected(app) as socket:
        before = (await socket.until("session.created"))["session"]
        socket.send("session.update", session={"audio": {"output": output}}, event_id="mine")
        error = (await socket.until("error"))["error"]
        assert (error["param"], error["event_id"]) == (param, "mine")
        assert error["message"].startswith(param)
        socket.send("session.update", session={"audio": {"output": {"voice": "alloy"}}})
        after = (await socket.until("session.updated"))["session"]
    assert after["audio"]["output"] == {**before["audio"]["output"], "voice": "alloy"}
    session = {"model": "org/fake", "audio": {"output": output}}
    answer = await ask(app, path="/v1/realtime/client_secrets", json={"session": session})
    assert answer.error["param"] == param


async def test_a_request_is_told_that_the_address_is_a_websocket() -> None:
    answer = await ask(make_app(), "GET", "/v1/realtime")
    assert answer.status == 426
    assert answer.headers["upgrade"] == "websocket"
    assert "WebSocket" in answer.error["message"]
