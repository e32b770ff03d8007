"""Pictures in responses and messages, in stored ones, and where tokens are counted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.server.api.showing import (
    CALL,
    MESSAGES,
    RESPONSES,
    base64_of,
    block,
    data_url,
    message,
    read,
    reader,
    response,
    shown_by_url,
    upload,
)
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app
from tests.unit.server.media.drawn import HTML, SVG, plain
from tests.unit.server.media.web import fixed, serving


async def test_a_response_shows_pictures_and_what_tools_return() -> None:
    model = reader()
    low = shown_by_url(data_url(plain(1024, 2)), detail="low")
    body = response(low, {"type": "input_text", "text": "and"}, shown_by_url(data_url(plain(3, 3))))
    output = [{"type": "input_text", "text": "seen"}, shown_by_url(data_url(plain(6, 6)))]
    body["input"] += [CALL, {"type": "function_call_output", "call_id": "c", "output": output}]
    answer = await ask(make_app(model), path=RESPONSES, json=body)

    assert answer.status == 200
    assert "x-ignored-parameters" not in answer.headers
    assert read(model) == ["[512x1]\nand\n[3x3]\nWhy?", "", "seen\n[6x6]"]


async def test_a_continued_response_shows_the_pictures_that_it_had() -> None:
    model = reader()
    app = make_app(model, allow_private_media=True)
    async with serving(fixed(plain(7, 5), content_type="image/png")) as web:
        url = f"http://127.0.0.1:{web.port}/x"
        first = await ask(app, path=RESPONSES, json=response(shown_by_url(url)))
    assert read(model) == ["[7x5]\nWhy?"]
    again = {"model": "any", "input": "And?", "previous_response_id": first.json["id"]}
    assert (await ask(app, path=RESPONSES, json=again)).status == 200
    assert read(model) == ["[7x5]\nWhy?", "Hello", "And?"]
    assert len(web.heads) == 1
    items = await ask(app, "GET", f"{RESPONSES}/{first.json['id']}/input_items")
    assert items.json["data"][0]["content"][0]["image_url"] == data_url(plain(7, 5))


async def test_a_conversation_goes_on_with_a_model_that_reads_no_pictures_and_without_its_files(tmp_path: Any) -> None:
    model = reader()
    text = FakeChat(name="text")
    app = make_app(model, text, data_dir=str(tmp_path))
    id = await upload(app, plain(9, 9))
    asked = {**response({"type": "input_image", "file_id": id}), "model": model.name}
    first = await ask(app, path=RESPONSES, json=asked)
    assert read(model) == ["[9x9]\nWhy?"]

    again = {"input": "And?", "previous_response_id": first.json["id"]}
    await ask(app, path=RESPONSES, json={**again, "model": text.name})
    assert read(text)[0] == "[image]\nWhy?"
    await ask(app, "DELETE", f"/v1/files/{id}")
    answer = await ask(app, path=RESPONSES, json={**again, "model": model.name})
    assert read(model)[0] == "[image]\nWhy?"
    assert answer.headers["x-ignored-parameters"] == "previous_response_id.input_image"
    answer = await ask(app, path=RESPONSES, json=asked)
    assert (answer.status, answer.error["param"]) == (404, "input[0].content[0].file_id")


@pytest.mark.parametrize(
    ("part", "place"),
    [
        (shown_by_url(data_url(SVG)), ".image_url"),
        ({"type": "input_image"}, ""),
        ({"type": "input_image", "image_url": data_url(plain()), "file_id": "file-1"}, ""),
        ({"type": "input_image", "file_id": "file-1"}, ".file_id"),
    ],
)
async def test_a_response_refuses_a_bad_picture_by_its_place(part: dict[str, Any], place: str) -> None:
    for path in (RESPONSES, f"{RESPONSES}/input_tokens"):
        answer = await ask(make_app(reader()), path=path, json=response(part))
        assert answer.status in (400, 404)
        assert answer.error["param"] == f"input[0].content[0]{place}"


async def test_a_response_of_a_model_that_reads_no_pictures_is_refused() -> None:
    answer = await ask(make_app(FakeChat()), path=RESPONSES, json=response(shown_by_url(data_url(plain()))))
    assert (answer.status, answer.error["param"]) == (400, "input[0].content[0].type")
    assert answer.error["code"] == "unsupported_parameter"
    assert "'org/fake'" in answer.error["message"]


async def test_a_message_shows_pictures_of_every_source_and_of_tools(tmp_path: Any) -> None:
    model = reader()
    app = make_app(model, allow_private_media=True, data_dir=str(tmp_path))
    id = await upload(app, plain(9, 9))
    async with serving(fixed(plain(7, 5))) as web:
        body = message(
            block("base64", media_type="image/png", data=base64_of(plain(4, 2))),
            block("url", url=f"http://127.0.0.1:{web.port}/x"),
            block("file", file_id=id),
        )
        picture = block("base64", media_type="image/png", data=base64_of(plain(6, 6)))
        broken = block("base64", media_type="image/png", data="*")
        result = {"type": "tool_result", "tool_use_id": "t", "content": [picture, broken], "is_error": True}
        body["messages"] += [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "look", "input": {}}]},
            {"role": "user", "content": [result, {"type": "text", "text": "So?"}]},
        ]
        answer = await ask(app, path=MESSAGES, json=body)

    assert answer.status == 200
    assert read(model) == ["[4x2]\n[7x5]\n[9x9]\nWhy?", "", "Error: \n[6x6]\n[image]", "So?"]
    assert "messages[].content[].content[].source.data" in answer.headers["x-ignored-parameters"]


@pytest.mark.parametrize(
    ("source", "place"),
    [
        (block("base64", media_type="image/png", data=base64_of(HTML)), "source.data"),
        (block("base64", media_type="image/png"), "source.data"),
        (block("url", url="http://127.0.0.1:1/x.png"), "source.url"),
        (block("file", file_id="file-1"), "source.file_id"),
        (block("text", data="x"), "source.type"),
    ],
)
async def test_a_message_refuses_a_bad_picture_by_its_place(source: dict[str, Any], place: str) -> None:
    for path in (MESSAGES, f"{MESSAGES}/count_tokens"):
        answer = await ask(make_app(reader()), path=path, json=message(source))
        assert answer.status in (400, 404)
        assert f"messages[0].content[0].{place}" in answer.json["error"]["message"]


async def test_pictures_are_counted_by_every_endpoint_that_counts() -> None:
    counted = len("[image 4x2]\nWhy?")
    url = data_url(plain(4, 2))
    app = make_app(reader())
    answer = await ask(app, path=f"{RESPONSES}/input_tokens", json=response(shown_by_url(url)))
    assert answer.json["input_tokens"] == counted
    body = message(block("base64", media_type="image/png", data=base64_of(plain(4, 2))))
    answer = await ask(app, path=f"{MESSAGES}/count_tokens", json=body)
    assert answer.json["input_tokens"] == counted
