"""Files in the turns of chats and responses: what the model reads, what is stored, and what is refused."""

from __future__ import annotations

import asyncio
import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfWriter

from contracts.responses.items import InputFileContent, InputMessage, InputTextContent
from server.api.responses.conversation import message_text
from server.media.documents import MAX_DOCUMENTS
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import Exchange, ask, make_app, start
from tests.unit.server.media.web import fixed, serving

TEXT = "Bees dance."
DATA = f"data:text/markdown;base64,{base64.b64encode(TEXT.encode()).decode()}"
BLOCK = f'<file name="bees.md">\n{TEXT}\n</file>'
MESSAGES = "/v1/messages"
CHATS, RESPONSES, COUNTS = "/v1/chat/completions", "/v1/responses", "/v1/responses/input_tokens"


def turn(path: str, *parts: dict[str, Any], role: str = "user") -> dict[str, Any]:
    """A request whose last turn has these files, in the form of the endpoint, and then a question."""
    if path == CHATS:
        content = [*({"type": "file", "file": part} for part in parts), {"type": "text", "text": "Why?"}]
        return {"model": "any", "messages": [{"role": role, "content": content}]}
    content = [*({"type": "input_file", **part} for part in parts), {"type": "input_text", "text": "Why?"}]
    return {"model": "any", "input": [{"role": role, "content": content}]}


def place(path: str, field: str = "", number: int = 0) -> str:
    """The path of a field of a file."""
    head = f"messages[0].content[{number}].file" if path == CHATS else f"input[0].content[{number}]"
    return head + field


def read(chat: FakeChat) -> list[str]:
    """The turns of the last prompt."""
    prompt: Any = chat.requests[-1].prompt
    return [message.content for message in prompt.messages]


both = pytest.mark.parametrize("path", [CHATS, RESPONSES])


@both
@pytest.mark.parametrize("data", [DATA, DATA.partition(",")[2]], ids=["data URL", "base64"])
async def test_the_model_reads_a_file_in_its_turn(path: str, data: str) -> None:
    chat = FakeChat()
    answer = await ask(make_app(chat), path=path, json=turn(path, {"file_data": data, "filename": "bees.md"}))
    assert answer.status == 200
    assert "x-ignored-parameters" not in answer.headers
    assert read(chat) == [f"{BLOCK}\nWhy?"]


@both
async def test_a_file_is_fetched_by_its_url(path: str) -> None:
    chat = FakeChat()
    html = b"<title>Bees</title><p>Bees <b>dance</b>.</p><script>no</script>"
    async with serving(fixed(html, content_type="text/html")) as web:
        url = f"http://127.0.0.1:{web.port}/bees"
        answer = await ask(make_app(chat, allow_private_media=True), path=path, json=turn(path, {"file_url": url}))
        refused = await ask(make_app(chat), path=path, json=turn(path, {"file_url": url}))
    assert answer.status == 200
    (content,) = read(chat)
    assert content.startswith('<file name="bees">')
    assert "Bees dance." in content
    assert "no</script>" not in content
    assert (refused.status, refused.error["param"]) == (400, place(path, ".file_url"))
    assert "not at a public address" in refused.error["message"]
    assert len(web.heads) == 1


@both
async def test_a_file_of_the_media_root_is_read(path: str, tmp_path: Path) -> None:
    (tmp_path / "bees.md").write_text(TEXT)
    chat, asked = FakeChat(), turn(path, {"file_url": f"file://{tmp_path}/bees.md"})
    assert (await ask(make_app(chat, media_root=str(tmp_path)), path=path, json=asked)).status == 200
    assert read(chat) == [f"{BLOCK}\nWhy?"]
    assert (await ask(make_app(chat), path=path, json=asked)).error["param"] == place(path, ".file_url")


@both
async def test_an_uploaded_file_is_read(path: str, tmp_path: Path) -> None:
    chat = FakeChat()
    app = make_app(chat, data_dir=str(tmp_path))
    form = (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="bees.md"\r\n\r\nBees dance.\r\n--b--\r\n'
    )
    headers = {"content-type": "multipart/form-data; boundary=b"}
    stored = await ask(app, path="/v1/files", content=form, headers=headers)
    answer = await ask(app, path=path, json=turn(path, {"file_id": stored.json["id"]}))
    assert answer.status == 200
    assert read(chat) == [f"{BLOCK}\nWhy?"]
    missing = await ask(app, path=path, json=turn(path, {"file_id": "file-none"}))
    assert (missing.status, missing.error["param"]) == (404, place(path, ".file_id"))


@both
async def test_turns_of_the_system_may_have_files_too(path: str) -> None:
    chat = FakeChat()
    await ask(make_app(chat), path=path, json=turn(path, {"file_data": DATA, "filename": "bees.md"}, role="developer"))
    assert read(chat) == [f"{BLOCK}\nWhy?"]


def _pdf() -> str:
    writer, buffer = PdfWriter(), BytesIO()
    writer.add_blank_page(10, 10)
    writer.write(buffer)
    return "data:application/pdf;base64," + base64.b64encode(buffer.getvalue()).decode()


@both
@pytest.mark.parametrize(
    ("file", "field", "words"),
    [
        ({}, "", "one of file_data, file_url and file_id"),
        ({"filename": "a"}, "", "one of file_data, file_url and file_id"),
        ({"file_data": DATA, "file_url": "http://a/"}, "", "one of file_data, file_url and file_id"),
        ({"file_data": "data:;base64,!"}, ".file_data", "not base64"),
        ({"file_data": "data:,%00"}, ".file_data", "neither a PDF nor text"),
        ({"file_data": "data:,%ff"}, ".file_data", "neither a PDF nor text"),
        ({"file_data": _pdf()}, ".file_data", "scanned pages have none"),
        ({"file_data": "data:," + "x" * 1001}, ".file_data", "more than 1,000 bytes"),
        ({"file_url": "ftp://host/"}, ".file_url", "'ftp' are not fetched"),
        ({"file_url": "file:///etc/passwd"}, ".file_url", "--media-root"),
        ({"file_url": "http://169.254.169.254/latest/meta-data/"}, ".file_url", "not at a public address"),
    ],
)
async def test_a_file_without_text_is_refused_by_name(path: str, file: dict[str, Any], field: str, words: str) -> None:
    chat = FakeChat()
    refused = await ask(make_app(chat, max_media=1000), path=path, json=turn(path, file))
    assert (refused.status, refused.error["param"]) == (400, place(path, field))
    assert words in refused.error["message"]
    assert not chat.requests


@both
async def test_a_request_has_a_limit_of_files(path: str) -> None:
    refused = await ask(make_app(), path=path, json=turn(path, *[{"file_data": "data:,x"}] * (MAX_DOCUMENTS + 1)))
    assert refused.error["param"] == place(path, ".file_data", MAX_DOCUMENTS)
    assert f"up to {MAX_DOCUMENTS} files" in refused.error["message"]


@both
async def test_a_client_that_leaves_ends_the_fetch(path: str) -> None:
    async def silent(_: str, __: asyncio.StreamWriter) -> None:
        fetching.set()
        await over.wait()

    fetching, over = asyncio.Event(), asyncio.Event()
    chat = FakeChat()
    async with serving(silent) as web:
        url = f"http://127.0.0.1:{web.port}/"
        exchange: Exchange = start(
            make_app(chat, allow_private_media=True), path=path, json=turn(path, {"file_url": url})
        )
        await fetching.wait()
        exchange.disconnect()
        await exchange.finished()
        over.set()
    assert not chat.requests


async def test_a_stored_response_keeps_the_text_and_not_the_data() -> None:
    chat = FakeChat()
    app = make_app(chat)
    first = await ask(app, path=RESPONSES, json=turn(RESPONSES, {"file_data": DATA, "filename": "bees.md"}))
    id = first.json["id"]
    items = (await ask(app, "GET", f"{RESPONSES}/{id}/input_items")).json["data"]
    part = {"type": "input_file", "filename": "bees.md", "text": TEXT}
    assert {name: value for name, value in items[0]["content"][0].items() if value is not None} == part

    await ask(app, path=RESPONSES, json={"model": "any", "input": "And?", "previous_response_id": id})
    assert read(chat) == [f"{BLOCK}\nWhy?", "Hello", "And?"]
    await ask(app, path=RESPONSES, json={"model": "any", "input": items})
    assert read(chat) == [f"{BLOCK}\nWhy?"]


async def test_tokens_of_a_file_are_counted() -> None:
    counted = await ask(make_app(), path=COUNTS, json=turn(COUNTS, {"file_data": DATA, "filename": "bees.md"}))
    assert counted.json["input_tokens"] == len(f"{BLOCK}\nWhy?")


def test_a_search_uses_the_question_and_not_the_file() -> None:
    parts = [InputFileContent(type="input_file", text="long"), InputTextContent(type="input_text", text="Why?")]
    assert message_text(InputMessage(role="user", content=[*parts])) == "Why?"


async def test_the_name_of_a_file_stays_in_its_quotes() -> None:
    chat = FakeChat()
    await ask(make_app(chat), path=CHATS, json=turn(CHATS, {"file_data": DATA, "filename": 'a">\n<b'}))
    assert read(chat)[0].splitlines()[0] == '<file name="a\'> <b">'


def message(source: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A message with a document and a question."""
    content = [{"type": "document", "source": source, **fields}, {"type": "text", "text": "Why?"}]
    return {"model": "any", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}


BASE64 = {"type": "base64", "media_type": "application/pdf", "data": DATA.partition(",")[2]}


@pytest.mark.parametrize(("fields", "head"), [({}, ""), ({"title": "Bees"}, "Bees\n")])
async def test_the_documents_of_a_message_are_read(fields: dict[str, Any], head: str) -> None:
    chat = FakeChat()
    answer = await ask(make_app(chat), path=MESSAGES, json=message(BASE64, **fields))
    assert answer.status == 200
    assert read(chat) == [f"{head}{TEXT}\nWhy?"]
    counted = await ask(make_app(), path=f"{MESSAGES}/count_tokens", json=message(BASE64, **fields))
    assert counted.json["input_tokens"] == len(f"{head}{TEXT}\nWhy?")


async def test_the_document_of_a_message_is_fetched_by_its_url() -> None:
    chat = FakeChat()
    async with serving(fixed(TEXT.encode())) as web:
        asked = message({"type": "url", "url": f"http://127.0.0.1:{web.port}/bees.md"})
        await ask(make_app(chat, allow_private_media=True), path=MESSAGES, json=asked)
        refused = await ask(make_app(chat), path=MESSAGES, json=asked)
    assert read(chat) == [f"bees.md\n{TEXT}\nWhy?"]
    assert refused.status == 400
    assert "messages[0].content[0].source.url: the file cannot be read" in refused.json["error"]["message"]


@pytest.mark.parametrize(
    ("source", "status", "words"),
    [
        ({"type": "base64", "data": "!"}, 400, "source.data: the file cannot be read: it is not base64"),
        ({"type": "base64"}, 400, "source.data: required"),
        ({"type": "file", "file_id": "file-none"}, 404, "file-none"),
        ({"type": "elsewhere"}, 400, "not supported"),
    ],
)
async def test_a_document_without_text_is_refused(source: dict[str, Any], status: int, words: str) -> None:
    refused = await ask(make_app(), path=MESSAGES, json=message(source))
    assert refused.status == status
    assert words in refused.json["error"]["message"]
