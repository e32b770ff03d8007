"""Large bodies for queues that are full: refused before they are read."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from litestar import Litestar

from providers.errors import QueueFull
from tests.unit.server.api.images.painting import EDITS, PATH, ScriptedPainter, app_of, white
from tests.unit.server.api.speech.speaking import FakeSpeech, speaking
from tests.unit.server.api.transcription import transcribers
from tests.unit.server.fakes import FakeChat, FakeEmbedder
from tests.unit.server.harness import Exchange, make_app, start

LARGE = {"content-length": "1000000"}


class Unread(Exchange):
    """A request that notes whether its body was read for the response. What is left is dropped after it."""

    read = False

    async def _receive(self) -> Any:
        self.read = self.read or not self.sent
        return {"type": "http.disconnect"}


@pytest.fixture(autouse=True)
def noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.server.harness.Exchange", Unread)


async def refused(app: Litestar, path: str, headers: dict[str, str]) -> Unread:
    exchange = await start(app, path=path, headers=headers).finished()
    assert isinstance(exchange, Unread)
    return exchange


class FullPainter(ScriptedPainter):
    @property
    def full(self) -> bool:
        return True

    def refuse_full(self) -> NoReturn:
        raise QueueFull("as many as may")


CHATS = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"]


@pytest.mark.parametrize("path", CHATS)
@pytest.mark.parametrize("headers", [LARGE, {"transfer-encoding": "chunked"}], ids=["large", "chunked"])
async def test_a_full_chat_queue_refuses_a_large_body_unread(path: str, headers: dict[str, str]) -> None:
    answer = await refused(make_app(FakeChat(full=True)), path, headers)
    assert (answer.status, answer.read) == (429, False)
    assert answer.headers["retry-after"]


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/rerank"])
async def test_a_full_embedding_queue_refuses_a_large_body_unread(path: str) -> None:
    answer = await refused(make_app(FakeEmbedder(full=True)), path, LARGE)
    assert (answer.status, answer.read, answer.error["code"]) == (429, False, "queue_full")


async def test_a_full_speech_queue_refuses_a_large_body_unread() -> None:
    answer = await refused(speaking(FakeSpeech(full=True)), "/v1/audio/speech", LARGE)
    assert (answer.status, answer.read, answer.error["code"]) == (429, False, "queue_full")


@pytest.mark.parametrize(
    ("path", "headers"),
    [(PATH, LARGE), (EDITS, {**LARGE, "content-type": "multipart/form-data; boundary=b"})],
    ids=["generation", "edit"],
)
async def test_a_full_image_queue_refuses_a_large_body_unread(path: str, headers: dict[str, str]) -> None:
    answer = await refused(await app_of(FullPainter(white)), path, headers)
    assert (answer.status, answer.read, answer.error["code"]) == (429, False, "queue_full")


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/audio/translations"])
async def test_a_full_transcription_queue_refuses_a_form_unread(path: str) -> None:
    app = transcribers.make_app(transcribers.FakeTranscriber(full=True))
    form = {**LARGE, "content-type": "multipart/form-data; boundary=b"}
    answer = await refused(app, path, form)
    assert (answer.status, answer.read, answer.error["code"]) == (429, False, "queue_full")


@pytest.mark.parametrize(
    ("chats", "path", "headers"),
    [
        ([FakeChat(full=True, name="a"), FakeChat(name="b")], CHATS[0], LARGE),
        ([FakeChat(full=True)], CHATS[0], {"content-length": "100"}),
        ([FakeChat(full=True)], "/v1/tokenize", LARGE),
    ],
    ids=["one of several", "small", "tokenize"],
)
async def test_other_bodies_are_read(chats: list[FakeChat], path: str, headers: dict[str, str]) -> None:
    answer = await refused(make_app(*chats), path, headers)
    assert (answer.status, answer.read) == (499, True)
