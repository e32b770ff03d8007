"""The request line and `Host`: what clients spell in their own way is served, and other hosts are not."""

from __future__ import annotations

import pytest

from server.middleware.addressing import normal_path, one_segment
from server.run.loopback import is_loopback
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import BODY, ask, make_app


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("/v1/models", "/v1/models"),
        ("/v1/models/", "/v1/models"),
        ("/models", "/v1/models"),
        ("/v1//models", "/v1/models"),
        ("//v1/models", "/v1/models"),
        ("/v1/models//org/name", "/v1/models/org/name"),
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/audio/speech", "/v1/audio/speech"),
        ("/rerank", "/v1/rerank"),
        ("/v2/rerank", "/v1/rerank"),
        ("/modelsomething", "/modelsomething"),
        ("/health", "/health"),
        ("/", "/"),
        ("//", "/"),
    ],
)
def test_a_path_means_one_route(given: str, meant: str) -> None:
    assert normal_path(given) == meant


@pytest.mark.parametrize(
    ("method", "given", "meant"),
    [
        ("GET", "/v1/models", "/v1/models"),
        ("GET", "/v1/models/org/name", "/v1/models/org%2Fname"),
        ("GET", "/v1/models/org/load", "/v1/models/org%2Fload"),
        ("POST", "/v1/models/org/name/load", "/v1/models/org%2Fname/load"),
        ("POST", "/v1/models/load/load", "/v1/models/load/load"),
        ("POST", "/v1/models/pull", "/v1/models/pull"),
        ("DELETE", "/v1/models/a%b/pin", "/v1/models/a%25b/pin"),
        ("POST", "/v1/models/\n\udcff/unload", "/v1/models/%0A%3F/unload"),
        ("POST", "/v1/chat/completions", "/v1/chat/completions"),
    ],
)
def test_the_id_of_a_model_is_one_segment(method: str, given: str, meant: str) -> None:
    assert one_segment(given, method) == meant


async def test_a_client_without_v1_in_its_base_url_is_served() -> None:
    assert (await ask(make_app(), path="/chat/completions", json=BODY)).status == 200
    assert (await ask(make_app(), "GET", "/v1/models/")).status == 200


@pytest.mark.parametrize("path", ["/", "/health", "/v1/models", "/v1/models/org/fake", "/metrics"])
async def test_head_is_get_without_a_body(path: str) -> None:
    app = make_app()
    head, get = await ask(app, "HEAD", path), await ask(app, "GET", path)
    assert head.status == get.status
    assert head.body == b""
    assert head.headers["content-type"] == get.headers["content-type"]


async def test_head_of_what_only_posts_is_refused() -> None:
    answer = await ask(make_app(), "HEAD", "/v1/chat/completions")
    assert answer.status == 405
    assert "POST" in answer.headers["allow"]


async def test_the_root_is_a_page_for_browsers_and_an_index_for_others() -> None:
    app = make_app(api_key="secret")
    index = await ask(app, "GET", "/")
    assert index.status == 200
    assert "/v1/chat/completions" in index.json["endpoints"]
    page = await ask(app, "GET", "/", headers={"accept": "text/html,application/xhtml+xml"})
    assert page.headers["content-type"].startswith("text/html")
    assert b"<title>mlx-openai-server</title>" in page.body


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "127.0.0.1:8000", "127.3.2.1", "[::1]:8000", "a.localhost", "192.168.1.4:80", ""],
)
async def test_loopback_names_and_addresses_are_answered(host: str) -> None:
    assert (await ask(make_app(), json=BODY, headers={"host": host})).status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.nip.io"])
async def test_another_name_for_this_machine_is_refused(host: str) -> None:
    chat = FakeChat()
    answer = await ask(make_app(chat), json=BODY, headers={"host": host})
    assert (answer.status, answer.error["code"]) == (403, "host_not_allowed")
    assert "--allowed-hosts" in answer.error["message"]
    assert chat.requests == []


async def test_another_name_is_refused_after_one_that_was_answered_and_after_another_refusal() -> None:
    app = make_app()
    for host, status in (("localhost", 200), ("evil.example", 403), ("evil.example", 403), ("localhost", 200)):
        assert (await ask(app, json=BODY, headers={"host": host})).status == status


async def test_names_that_are_allowed_and_servers_on_a_network_answer() -> None:
    headers = {"host": "debate.example:443"}
    assert (await ask(make_app(allowed_hosts=("debate.example",)), json=BODY, headers=headers)).status == 200
    assert (await ask(make_app(host="0.0.0.0"), json=BODY, headers=headers)).status == 200


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("::", False)])
def test_loopback_is_distinguished_from_networks(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
