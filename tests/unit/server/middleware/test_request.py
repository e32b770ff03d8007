"""Request IDs, process time, CORS, the API key, and the log line."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import BODY, ask, make_app

EVERYWHERE = [
    ("POST", "/v1/chat/completions", 200),
    ("GET", "/v1/models", 200),
    ("GET", "/health", 200),
    ("GET", "/v1/nothing", 404),
    ("DELETE", "/v1/models", 405),
]


@pytest.mark.parametrize(("method", "path", "status"), EVERYWHERE)
async def test_every_answer_has_the_request_s_id_and_its_time(method: str, path: str, status: int) -> None:
    answer = await ask(make_app(), method, path, json=BODY, headers={"X-Request-ID": "debate 7/left"})

    assert answer.status == status
    assert answer.headers["x-request-id"] == "debate 7/left"
    assert 0 <= float(answer.headers["x-process-time"]) < 5


@pytest.mark.parametrize("given", [None, "", "x" * 129, "tab\there", "ünïcode", " ", "\x00"])
async def test_an_invalid_request_id_is_replaced(given: str | None) -> None:
    app = make_app()
    headers = {} if given is None else {"x-request-id": given}

    first, second = [await ask(app, json=BODY, headers=headers) for _ in range(2)]

    assert first.headers["x-request-id"] != given
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert first.json["request_id"] == first.headers["x-request-id"]


async def test_each_request_has_one_log_line() -> None:
    with capture_logs() as logs:
        await ask(make_app(), json={**BODY, "temperature": 9}, headers={"x-request-id": "abc"})

    (line,) = [entry for entry in logs if entry["event"] == "request"]
    assert line["method"] == "POST"
    assert line["path"] == "/v1/chat/completions"
    assert line["status"] == 400
    assert line["request_id"] == "abc"
    assert line["error"] == "invalid_request_error"
    assert line["duration"] >= 0


async def test_a_preflight_is_answered_and_named_headers_may_be_read() -> None:
    app = make_app(api_key="secret")
    preflight = await ask(
        app,
        "OPTIONS",
        "/v1/chat/completions",
        headers={
            "origin": "https://debate.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type,x-request-id,x-stainless-os",
        },
    )
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    allowed = preflight.headers["access-control-allow-headers"].lower()
    assert {"authorization", "content-type", "x-request-id", "x-stainless-os"} <= set(allowed.split(","))

    refused = await ask(app, json=BODY, headers={"origin": "https://debate.example"})
    assert refused.status == 401
    assert refused.headers["access-control-allow-origin"] == "*"
    exposed = refused.headers["access-control-expose-headers"].lower()
    assert {"x-request-id", "x-process-time", "retry-after"} <= set(exposed.split(", "))


async def test_only_the_named_origins_may_read_answers() -> None:
    app = make_app(cors_origins=("https://a.example",))

    good = await ask(app, json={**BODY, "stream": True}, headers={"origin": "https://a.example"})
    bad = await ask(app, json=BODY, headers={"origin": "https://b.example"})

    assert good.headers["access-control-allow-origin"] == "https://a.example"
    assert "access-control-allow-origin" not in bad.headers


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic secret", "secret", "Bearer secre\u00e9", "Bearer secret2"],
)
async def test_without_the_key_every_request_is_refused(authorization: str | None) -> None:
    chat = FakeChat()
    app = make_app(chat, api_key="secret")
    headers = {} if authorization is None else {"authorization": authorization}

    for method, path in [("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/v1/queue/stats")]:
        answer = await ask(app, method, path, json=BODY, headers=headers)
        assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert chat.requests == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", "Bearer sécret"),
        ("authorization", "bearer  sécret "),
        ("x-api-key", "sécret"),
        ("api-key", "sécret"),
    ],
)
async def test_with_the_key_every_request_is_served(name: str, value: str) -> None:
    headers = {name: value.encode().decode("latin-1")}
    answer = await ask(make_app(api_key="sécret"), json=BODY, headers=headers)
    assert answer.status == 200


@pytest.mark.parametrize("key", ["secret", "ada", "bruno"])
async def test_any_of_several_keys_is_accepted(key: str) -> None:
    app = make_app(api_key="secret", api_key_file=("ada", "bruno"))
    assert (await ask(app, json=BODY, headers={"authorization": f"Bearer {key}"})).status == 200


async def test_a_wrong_key_beside_the_right_one_does_not_matter() -> None:
    headers = {"authorization": "Bearer null", "x-api-key": "secret"}
    assert (await ask(make_app(api_key="secret"), json=BODY, headers=headers)).status == 200


@pytest.mark.parametrize("authorization", ["Bearer ", "Bearer null", "nonsense"])
async def test_without_a_key_set_any_key_will_do(authorization: str) -> None:
    assert (await ask(make_app(), json=BODY, headers={"authorization": authorization})).status == 200


async def test_a_body_without_its_type_is_refused_with_the_header_to_send() -> None:
    answer = await ask(make_app(), json=BODY, headers={"content-type": ""})
    assert answer.status == 415
    assert "Content-Type: application/json" in answer.error["message"]


@pytest.mark.parametrize("path", ["/health", "/v1/health/live", "/v1/health/ready"])
async def test_health_needs_no_key(path: str) -> None:
    assert (await ask(make_app(api_key="secret"), "GET", path)).status == 200
