"""Files and pictures that tools returned: what the model reads of them, and that none ends a conversation."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from server.media.documents import MAX_DOCUMENTS
from server.media.showing import LEFT_OUT, MAX_PICTURES
from tests.unit.server.api.showing import (
    CALL,
    CHATS,
    MESSAGES,
    RESPONSES,
    base64_of,
    block,
    data_url,
    file_part,
    read,
    reader,
    response,
)
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app
from tests.unit.server.media.drawn import pdf, plain
from tests.unit.server.media.web import serving

TEXT = "Bees dance."
BLOCK = f'<file name="bees.md">\n{TEXT}\n</file>'
CALLED = [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}]


def file(path: str, data: str, name: str = "bees.md") -> dict[str, Any]:
    """A part with a file, in the form of the endpoint."""
    if path == MESSAGES:
        source = {"type": "base64", "media_type": "application/pdf", "data": data}
        return {"type": "document", "source": source, "title": name}
    fields = {"file_data": data, "filename": name}
    return {"type": "file", "file": fields} if path == CHATS else {"type": "input_file", **fields}


def returned(path: str, *parts: dict[str, Any]) -> dict[str, Any]:
    """A request whose last turn is what a tool returned."""
    question: dict[str, Any] = {"role": "user", "content": "Why?"}
    if path == CHATS:
        call = {"role": "assistant", "content": None, "tool_calls": CALLED}
        return {
            "model": "any",
            "messages": [question, call, {"role": "tool", "tool_call_id": "c", "content": [*parts]}],
        }
    if path == RESPONSES:
        output = {"type": "function_call_output", "call_id": "c", "output": [*parts]}
        return {"model": "any", "input": [question, CALL, output]}
    use = {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "look", "input": {}}]}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": [*parts]}]}
    return {"model": "any", "max_tokens": 9, "messages": [question, use, result]}


every = pytest.mark.parametrize("path", [CHATS, RESPONSES, MESSAGES])


@every
@pytest.mark.parametrize("model", [FakeChat, reader])
async def test_the_model_reads_the_text_of_a_file(path: str, model: Any) -> None:
    chat = model()
    answer = await ask(make_app(chat), path=path, json=returned(path, file(path, base64_of(TEXT.encode()))))
    assert answer.status == 200
    assert "x-ignored-parameters" not in answer.headers
    assert read(chat)[-1] == (f"bees.md\n{TEXT}" if path == MESSAGES else BLOCK)


@every
async def test_a_model_with_eyes_reads_the_pages_of_a_pdf(path: str) -> None:
    model = reader()
    answer = await ask(make_app(model), path=path, json=returned(path, file(path, base64_of(pdf(pages=2)), "a.pdf")))
    assert answer.status == 200
    shown = '<file name="a.pdf">\n[1536x768]\n[1536x768]\n</file>'
    assert read(model)[-1] == (f"a.pdf\n{shown}" if path == MESSAGES else shown)


@every
@pytest.mark.parametrize("model", [FakeChat, reader])
@pytest.mark.parametrize(
    "data",
    [
        base64_of(pdf(password="secret")),
        base64_of(pdf()[:60]),
        base64_of(b"%PDF-1.7\n" + bytes(99)),
        base64_of(bytes(9)),
        base64_of(b"\xff\xfe\x00"),
        base64_of(bytes(200_000)),
        "!",
        "data:,%ff",
        "",
    ],
    ids=["encrypted", "truncated", "damaged", "binary", "odd", "large", "base64", "bytes", "empty"],
)
async def test_one_that_cannot_be_read_is_a_placeholder(path: str, model: Any, data: str) -> None:
    chat = model()
    asked = returned(path, file(path, data), {"type": "input_text" if path == RESPONSES else "text", "text": "Done."})
    answer = await ask(make_app(chat, max_media=100_000), path=path, json=asked)
    assert answer.status == 200
    assert read(chat)[-1].removeprefix("bees.md\n") == "[file]\nDone."
    assert answer.headers["x-ignored-parameters"]


@pytest.mark.parametrize(
    "fields",
    [
        {"file_url": "http://127.0.0.1:1/x"},
        {"file_url": "file:///etc/passwd"},
        {"file_id": "file-none"},
        {"file_data": "data:,x", "file_url": "http://a/"},
        {},
    ],
)
@pytest.mark.parametrize("model", [FakeChat, reader])
async def test_one_that_cannot_be_had_is_a_placeholder(fields: dict[str, Any], model: Any) -> None:
    for path, part in (
        (CHATS, {"type": "file", "file": fields}),
        (RESPONSES, {"type": "input_file", **fields}),
    ):
        chat = model()
        answer = await ask(make_app(chat), path=path, json=returned(path, part))
        assert answer.status == 200
        assert read(chat)[-1] == "[file]"


@every
async def test_files_of_tools_do_not_count_as_those_of_the_client(path: str) -> None:
    chat = FakeChat()
    many = returned(path, *[file(path, base64_of(b"x"))] * (MAX_DOCUMENTS + 1))
    own = file_part(path, TEXT.encode(), "bees.md")
    field = "input" if path == RESPONSES else "messages"
    many[field] += own[field]
    answer = await ask(make_app(chat), path=path, json=many)
    assert answer.status == 200
    assert read(chat)[-2].count("[file]") == 1
    assert TEXT in read(chat)[-1]


async def test_a_stored_response_keeps_what_a_tool_returned() -> None:
    model = reader()
    app = make_app(model)
    body = returned(RESPONSES, file(RESPONSES, base64_of(TEXT.encode())), file(RESPONSES, base64_of(pdf(pages=1)), "a"))
    first = await ask(app, path=RESPONSES, json=body)
    await ask(app, path=RESPONSES, json={"model": "any", "input": "And?", "previous_response_id": first.json["id"]})
    assert read(model)[2] == f'{BLOCK}\n<file name="a">\n[1536x768]\n</file>'
    items = (await ask(app, "GET", f"{RESPONSES}/{first.json['id']}/input_items")).json["data"]
    assert base64_of(TEXT.encode()) not in json.dumps(items)
    await ask(app, path=RESPONSES, json={"model": "any", "input": items[::-1]})
    assert read(model)[2] == f'{BLOCK}\n<file name="a">\n[1536x768]\n</file>'


PICTURE = base64.b64encode(plain(6, 5)).decode()


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "data": PICTURE, "mimeType": "image/png"},
        {"type": "image_url", "image_url": {"url": data_url(plain(6, 5))}},
        {"type": "image_url", "image_url": data_url(plain(6, 5))},
        {"type": "computer_screenshot", "image_url": data_url(plain(6, 5))},
    ],
)
async def test_pictures_in_the_form_of_other_apis_are_shown_in_responses(part: dict[str, Any]) -> None:
    model = reader()
    answer = await ask(make_app(model), path=RESPONSES, json=returned(RESPONSES, part))
    assert answer.status == 200
    assert "x-ignored-parameters" not in answer.headers
    assert read(model)[-1] == "[6x5]"


async def test_a_screenshot_is_shown() -> None:
    model, shot = reader(), {"type": "computer_screenshot", "image_url": data_url(plain(6, 5))}
    body = response()
    body["input"] += [
        {"type": "computer_call", "call_id": "c", "action": {"type": "screenshot"}},
        {"type": "computer_call_output", "call_id": "c", "output": shot},
    ]
    assert (await ask(make_app(model), path=RESPONSES, json=body)).status == 200
    assert read(model)[-1] == "[6x5]"


@pytest.mark.parametrize("url", ["data:,", "", "ftp://a/", "http://127.0.0.1:1/x.png", "data:;base64,AAAA"])
async def test_a_picture_of_another_api_that_cannot_be_read_is_a_placeholder(url: str) -> None:
    model = reader()
    part = {"type": "image_url", "image_url": {"url": url}}
    answer = await ask(make_app(model), path=RESPONSES, json=returned(RESPONSES, part))
    assert answer.status == 200
    assert read(model)[-1] == "[image]"
    assert answer.headers["x-ignored-parameters"]


def shot(path: str, side: int) -> dict[str, Any]:
    """A picture that a tool returned, in the form of the endpoint."""
    if path == MESSAGES:
        return block("base64", media_type="image/png", data=base64_of(plain(side, side)))
    url = data_url(plain(side, side))
    return {"type": "input_image", "image_url": url} if path == RESPONSES else {"type": "image_url", "image_url": url}


@every
@pytest.mark.parametrize(("surplus", "left_out"), [(0, 0), (1, LEFT_OUT), (LEFT_OUT, LEFT_OUT), (17, 2 * LEFT_OUT)])
async def test_of_too_many_screenshots_the_oldest_are_left_out_together(path: str, surplus: int, left_out: int) -> None:
    model, count = reader(), MAX_PICTURES + surplus
    answer = await ask(make_app(model), path=path, json=returned(path, *(shot(path, n + 1) for n in range(count))))
    assert answer.status == 200
    shown = [f"[{n + 1}x{n + 1}]" for n in range(left_out, count)]
    assert read(model)[-1] == "\n".join([*left_out * ["[image]"], *shown])


async def test_pictures_of_the_client_are_never_left_out() -> None:
    model = reader()
    body = returned(RESPONSES, *(shot(RESPONSES, n + 1) for n in range(9)))
    own = response(*(shot(RESPONSES, 100 + n) for n in range(MAX_PICTURES)))
    body["input"] += own["input"]
    assert (await ask(make_app(model), path=RESPONSES, json=body)).status == 200
    assert "[image]" not in read(model)[-1]
    assert read(model)[-2] == "\n".join(9 * ["[image]"])
    body["input"][-1]["content"].append(shot(RESPONSES, 200))
    refused = await ask(make_app(model), path=RESPONSES, json=body)
    assert (refused.status, refused.error["param"]) == (400, f"input[3].content[{MAX_PICTURES + 1}]")


async def test_addresses_that_do_not_answer_take_the_time_of_one() -> None:
    async def silent(_: str, __: asyncio.StreamWriter) -> None:
        await over.wait()

    over, chat = asyncio.Event(), FakeChat()
    async with serving(silent) as web:
        parts = [{"type": "input_file", "file_url": f"http://127.0.0.1:{web.port}/{n}"} for n in range(9)]
        app = make_app(chat, allow_private_media=True, media_timeout=1.0)
        answer = await ask(app, path=RESPONSES, json=returned(RESPONSES, *parts, file(RESPONSES, base64_of(b"x"))))
        over.set()
    assert answer.status == 200
    assert len(web.heads) == 1
    assert read(chat)[-1].count("[file]") == 9
    assert "\nx\n" in read(chat)[-1]
