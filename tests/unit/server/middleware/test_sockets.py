"""WebSockets have what requests have: an ID, a log line, a path in any spelling, and no unforeseen end."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from otel.testing import capture_metrics
from providers.echo.provider import EchoProvider
from providers.spec import ModelSpec
from server.app import create_app
from server.settings.settings import Settings
from tests.unit.server.api.realtime.sockets import Socket, connected
from tests.unit.server.fakes import FakeChat, FakeRegistry
from tests.unit.server.harness import make_app


async def test_the_handshake_has_the_id_of_the_client() -> None:
    async with connected(make_app(FakeChat()), headers={"x-request-id": "mine"}) as socket:
        await socket.until("session.created")
    assert socket.accepted is not None
    assert (b"x-request-id", b"mine") in socket.accepted["headers"]


@pytest.mark.parametrize("path", ["/realtime", "//v1/realtime/", "/v1/v1/realtime"])
async def test_spellings_of_the_path(path: str) -> None:
    async with connected(make_app(FakeChat()), path) as socket:
        await socket.until("session.created")


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/chat/completions", "/"])
async def test_other_paths_are_refused(path: str) -> None:
    socket = Socket(make_app(FakeChat()), path, {}, ())
    await socket.finished()
    assert socket.accepted is None
    assert socket.closed is not None


async def test_a_connection_is_one_line_in_the_log() -> None:
    with capture_logs() as lines:
        async with connected(make_app(FakeChat())) as socket:
            await socket.until("session.created")
    (line,) = [line for line in lines if line["event"] == "socket"]
    assert (line["status"], line["close_code"]) == (101, 1005)


async def test_metrics_of_an_answer_are_recorded_while_the_connection_lives() -> None:
    echo = EchoProvider(ModelSpec(name="echo", path="", model_type="echo"))
    await echo.start()
    app = create_app(Settings(models=(echo.spec,)), FakeRegistry((echo,)))  # type: ignore[arg-type]
    with capture_metrics() as metrics:
        async with connected(app, "/v1/realtime") as socket:
            socket.send("session.update", session={"output_modalities": ["text"]})
            content = [{"type": "input_text", "text": "Hi"}]
            socket.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
            socket.send("response.create")
            await socket.until("response.done")
            await socket.settled()
            assert metrics.value("gen_ai_server_request_duration_seconds_count") == 1
