"""Keys of clients, and which pages and keys may connect."""

from __future__ import annotations

import pytest
from openai.types.realtime import ClientSecretCreateResponse

from server.api.realtime.hub import MAX_SECRETS, Hub
from server.api.realtime.settings import default_config
from tests.unit.server.api.realtime.sockets import Socket, connected
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app

KEY = {"authorization": "Bearer right"}
PATH = "/v1/realtime/client_secrets"


async def test_a_key_of_a_client_opens_sessions_with_its_settings() -> None:
    app = make_app(FakeChat(), api_key="right")
    asked = {"expires_after": {"anchor": "created_at", "seconds": 60}, "session": {"instructions": "Be brief."}}
    made = (await ask(app, path=PATH, json=asked, headers=KEY)).json
    ClientSecretCreateResponse.model_validate(made, strict=True)
    for headers, protocols in (
        ({"authorization": f"Bearer {made['value']}"}, []),
        ({}, ["realtime", f"openai-insecure-api-key.{made['value']}"]),
    ):
        async with connected(app, "/v1/realtime", headers=headers, subprotocols=protocols) as socket:
            session = (await socket.until("session.created"))["session"]
        assert session["instructions"] == "Be brief."
        assert socket.accepted is not None
        assert socket.accepted["subprotocol"] == (protocols[0] if protocols else None)


async def test_a_key_is_made_only_with_the_servers() -> None:
    app = make_app(FakeChat(), api_key="right")
    assert (await ask(app, path=PATH, json={})).status == 401
    made = (await ask(app, path=PATH, json={}, headers=KEY)).json["value"]
    assert (await ask(app, path=PATH, json={}, headers={"authorization": f"Bearer {made}"})).status == 401


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"audio": {"output": {"speed": 9}}}, "session.audio.output.speed"),
        ({"prompt": {"id": "p"}}, "session.prompt"),
        ({"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}, "session.audio.input.turn_detection.type"),
    ],
)
async def test_settings_are_checked_when_a_key_is_made(session: object, param: str) -> None:
    answer = await ask(make_app(FakeChat()), path=PATH, json={"session": session})
    assert (answer.status, answer.error["param"]) == (400, param)


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer ek_made_up"}])
async def test_a_wrong_key_is_an_event_and_a_close_code(headers: dict[str, str]) -> None:
    app = make_app(FakeChat(), api_key="right")
    async with connected(app, headers=headers) as socket:
        assert (await socket.until("error"))["error"]["code"] == "invalid_api_key"
        await socket.finished()
    assert socket.closed == {
        "type": "websocket.close",
        "code": 3000,
        "reason": "invalid_request_error.invalid_api_key",
    }


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost", True),
        ("https://app.example", True),
        ("http://evil.example", False),
        ("http://localhost.evil.example", False),
        ("null", False),
    ],
)
async def test_only_pages_that_are_allowed_connect(origin: str, allowed: bool) -> None:
    app = make_app(FakeChat(), cors_origins=("https://app.example",))
    socket = Socket(app, "/v1/realtime", {"origin": origin}, ())
    socket.disconnect()
    await socket.finished()
    assert (socket.accepted is not None) == allowed


async def test_a_page_whose_name_points_here_is_refused() -> None:
    socket = Socket(make_app(FakeChat(), host="127.0.0.1"), "/v1/realtime", {"host": "evil.example"}, ())
    await socket.finished()
    assert socket.accepted is None


def test_keys_expire_and_are_bounded() -> None:
    now = 1000.0
    hub = Hub(clock=lambda: now)
    config = default_config("realtime", model="m", speaks=False, hears=False)
    first = hub.new_secret(config, 60, "")
    assert hub.enter([first.value])[1] is first
    for _ in range(MAX_SECRETS):
        last = hub.new_secret(config, 60, "")
    with pytest.raises(Exception, match="wrong or has expired"):
        hub.enter([first.value])
    now += 60
    with pytest.raises(Exception, match="wrong or has expired"):
        hub.enter([last.value])
