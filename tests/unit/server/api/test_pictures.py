"""Pictures in the turns of a chat."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from PIL import Image

from providers.chat.types import ImagePart, TextPart
from server.media import addresses
from server.media.showing import MAX_PICTURES, MAX_PIXEL_BYTES
from tests.unit.server.api.showing import (
    BAD,
    chat,
    data_url,
    read,
    reader,
)
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app
from tests.unit.server.media.drawn import HTML, SVG, encoded, plain
from tests.unit.server.media.web import Resolver, fixed, moved, serving


async def test_a_chat_shows_pictures_among_texts() -> None:
    model = reader()
    one, two = data_url(plain(4, 2)), {"url": data_url(plain(3, 3, format="JPEG"), "image/jpeg"), "detail": "low"}
    answer = await ask(
        make_app(model), json=chat(one, {"type": "text", "text": "and"}, {"type": "image_url", "image_url": two})
    )

    assert answer.status == 200
    assert "x-ignored-parameters" not in answer.headers
    assert read(model) == ["[4x2]\nand\n[3x3]\nWhy?"]
    prompt: Any = model.requests[-1].prompt
    red = ImagePart.of(4, 2, b"\xff\0\0" * 8)
    assert prompt.messages[0].content[:2] == [red, TextPart("and")]


async def test_the_echo_model_answers_with_sizes(tmp_path: Any) -> None:
    from tests.unit.server.api.speech.speaking import echoing

    answer = await ask(await echoing(), json=chat(data_url(plain(640, 480))))
    assert answer.json["choices"][0]["message"]["content"] == "[image 640x480]\nWhy?"


async def test_pictures_of_earlier_turns_and_of_tools_are_read() -> None:
    model = reader()
    body = chat(data_url(plain(4, 2)))
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    shown = {"type": "image", "data": base64.b64encode(plain(5, 5)).decode(), "mimeType": "image/png"}
    body["messages"] += [
        {"role": "assistant", "content": "Look.", "tool_calls": [call]},
        {
            "role": "tool",
            "content": [
                {"type": "text", "text": "seen"},
                {"type": "image_url", "image_url": {"url": data_url(plain(6, 6))}},
                shown,
            ],
            "tool_call_id": "c",
        },
    ]
    answer = await ask(make_app(model), json=body)
    assert "x-ignored-parameters" not in answer.headers
    assert read(model) == ["[4x2]\nWhy?", "Look.", "seen\n[6x6]\n[5x5]"]


async def test_a_models_tools_that_show_what_is_no_picture_end_no_conversation() -> None:
    model = reader()
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    for url in (data_url(SVG), "https://127.0.0.1/x.png"):
        body = chat(data_url(plain()))
        body["messages"] += [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "content": [{"type": "image_url", "image_url": url}], "tool_call_id": "c"},
        ]
        answer = await ask(make_app(model), json=body)
        assert answer.headers["x-ignored-parameters"].startswith("messages[].content[].image_url")
        assert read(model)[-1] == "[image]"


async def test_a_model_that_reads_no_pictures_refuses_them_by_their_place() -> None:
    answer = await ask(make_app(FakeChat(name="org/text")), json=chat({"type": "text", "text": "a"}, data_url(plain())))
    assert (answer.status, answer.error["param"]) == (400, "messages[0].content[1].type")
    assert answer.error["code"] == "unsupported_parameter"
    assert "'org/text' reads no pictures" in answer.error["message"]


async def test_an_assistants_turn_has_no_pictures() -> None:
    body = chat("x")
    body["messages"] += [{"role": "assistant", "content": [{"type": "image_url", "image_url": data_url(plain())}]}]
    body["messages"][0]["content"] = "Hi"
    answer = await ask(make_app(reader()), json=body)
    assert (answer.status, answer.error["param"]) == (400, "messages[1].content[0].type")


@pytest.mark.parametrize("bad", BAD)
async def test_a_bad_picture_is_refused_by_its_place(bad: str) -> None:
    url, said = BAD[bad]
    answer = await ask(make_app(reader()), json=chat(data_url(plain()), url))
    assert (answer.status, answer.error["param"]) == (400, "messages[0].content[1].image_url")
    assert said in answer.error["message"]


async def test_a_picture_is_fetched_by_its_url() -> None:
    model = reader()
    async with serving(fixed(plain(7, 5), content_type="text/html")) as web:
        url = f"http://127.0.0.1:{web.port}/x"
        answer = await ask(make_app(model, allow_private_media=True), json=chat(url, url))
    assert answer.status == 200
    assert read(model) == ["[7x5]\n[7x5]\nWhy?"]
    assert len(web.heads) == 1


async def test_a_page_in_the_place_of_a_picture_a_redirect_inside_and_a_large_response_are_refused() -> None:
    app = make_app(reader(), allow_private_media=True, max_media=10_000)
    for reply, said in (
        (fixed(HTML, content_type="image/png"), "HTML"),
        (moved("ftp://127.0.0.1/"), "ftp"),
        (fixed(bytes(10_001), content_type="image/png"), "10,000 bytes"),
        (fixed(b"", content_length="300000000", content_type="image/png"), "10,000 bytes"),
    ):
        async with serving(reply) as web:
            answer = await ask(app, json=chat(f"http://127.0.0.1:{web.port}/x"))
        assert (answer.status, answer.error["param"]) == (400, "messages[0].content[0].image_url")
        assert said in answer.error["message"]


async def test_a_response_that_drips_is_given_up() -> None:
    over = asyncio.Event()

    async def drip(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while not over.is_set():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serving(drip) as web:
        app = make_app(reader(), allow_private_media=True, media_timeout=0.2)
        answer = await ask(app, json=chat(f"http://127.0.0.1:{web.port}/x"))
        over.set()
    assert (answer.status, answer.error["param"]) == (400, "messages[0].content[0].image_url")
    assert "longer than 0.2 seconds" in answer.error["message"]


async def test_a_redirect_to_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is public at the first look, which the fetch connects to; what it redirects to is not."""
    monkeypatch.setattr(addresses, "is_public", lambda address: address != "127.0.0.1")
    Resolver({"public.example": ["127.0.0.2"]}).install(monkeypatch)
    async with serving(moved("http://127.0.0.1:1/secret"), host="127.0.0.2") as outside:
        answer = await ask(make_app(reader()), json=chat(f"http://public.example:{outside.port}/x"))
    assert len(outside.heads) == 1
    assert (answer.status, answer.error["param"]) == (400, "messages[0].content[0].image_url")
    assert "not at a public address" in answer.error["message"]


async def test_many_pictures_are_refused_and_many_pixels_are_scaled() -> None:
    model = reader()
    url = data_url(plain())
    answer = await ask(make_app(model), json=chat(*200 * [url]))
    assert (answer.status, answer.error["param"]) == (400, f"messages[0].content[{MAX_PICTURES}]")
    assert str(MAX_PICTURES) in answer.error["message"]

    big = data_url(encoded(Image.new("RGB", (2048, 2048))))
    high, auto, low = (
        {"type": "image_url", "image_url": {"url": big, "detail": way}} for way in ("high", "auto", "low")
    )
    assert (await ask(make_app(model), json=chat(*2 * [high], *5 * [auto], low))).status == 200
    assert read(model) == ["\n".join([*2 * ["[2048x2048]"], *5 * ["[1024x1024]"], "[512x512]", "Why?"])]
    answer = await ask(make_app(model), json=chat(*5 * [high]))
    assert (answer.status, answer.error["param"]) == (400, "messages[0].content[4]")
    assert f"{MAX_PIXEL_BYTES // 3:,} pixels" in answer.error["message"]


async def test_the_side_is_an_option() -> None:
    model = reader()
    url = data_url(plain(400, 200))
    assert (await ask(make_app(model, max_picture_side=100), json=chat(url))).status == 200
    assert read(model) == ["[100x50]\nWhy?"]


async def test_pictures_are_tokenised() -> None:
    model = reader()
    asked = chat(data_url(plain(4, 2)))
    answer = await ask(make_app(model), path="/v1/tokenize", json=asked)
    assert answer.json["count"] == len("[image 4x2]\nWhy?")
    answer = await ask(make_app(FakeChat()), path="/v1/tokenize", json=asked)
    assert answer.error["param"] == "messages[0].content[0].type"
