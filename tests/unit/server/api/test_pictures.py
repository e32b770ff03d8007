"""Pictures in the turns of a conversation, as every endpoint takes them."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from PIL import Image

from providers.chat.types import ImagePart, TextPart, content_text
from server.media import addresses
from server.media.showing import MAX_PICTURES, MAX_PIXEL_BYTES
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app
from tests.unit.server.media.drawn import HTML, SVG, encoded, pdf, plain, png_header, video
from tests.unit.server.media.web import Resolver, fixed, moved, serving

CHATS = "/v1/chat/completions"


def reader(**options: Any) -> FakeChat:
    """A model that reads pictures."""
    return FakeChat(reads=("image",), context_length=100_000, **options)


def data_url(content: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def chat(*parts: dict[str, Any] | str, role: str = "user") -> dict[str, Any]:
    """A request whose only turn has these pictures, by their URLs or parts, and then a question."""
    content = [part if isinstance(part, dict) else {"type": "image_url", "image_url": part} for part in parts]
    return {"model": "any", "messages": [{"role": role, "content": [*content, {"type": "text", "text": "Why?"}]}]}


def read(model: FakeChat) -> list[str]:
    """The turns of the last prompt, with the sizes of pictures."""
    prompt: Any = model.requests[-1].prompt
    return [content_text(message.content, picture="[{width}x{height}]") for message in prompt.messages]


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


BAD = {
    "truncated": (data_url(plain(64, 64)[:60]), "damaged"),
    "bomb": (data_url(png_header(30_000, 30_000)), "50,000,000 pixels"),
    "svg": (data_url(SVG, "image/svg+xml"), "SVG"),
    "html": (data_url(HTML), "HTML"),
    "base64": ("data:image/png;base64,*", "base64"),
    "no data": ("data:image/png", "comma"),
    "loopback": ("http://127.0.0.1:1/x.png", "public address"),
    "scheme": ("ftp://example.org/x.png", "'ftp'"),
    "nothing": ("", "scheme"),
    "file": ("file:///etc/passwd", "--media-root"),
}


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


RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
CALL = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def response(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A request whose only input is a turn with these parts, and then a question."""
    content = [*parts, {"type": "input_text", "text": "Why?"}]
    return {"model": "any", "input": [{"role": "user", "content": content}], **fields}


def shown_by_url(url: str, **fields: Any) -> dict[str, Any]:
    return {"type": "input_image", "image_url": url, **fields}


def message(*blocks: dict[str, Any]) -> dict[str, Any]:
    content = [*blocks, {"type": "text", "text": "Why?"}]
    return {"model": "any", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}


def block(type_: str, **fields: Any) -> dict[str, Any]:
    return {"type": "image", "source": {"type": type_, **fields}}


async def upload(app: Any, content: bytes) -> str:
    """The id of a stored file."""
    form = (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nvision\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + content + b"\r\n--b--\r\n"
    )
    stored = await ask(app, path="/v1/files", content=form, headers={"content-type": "multipart/form-data; boundary=b"})
    return str(stored.json["id"])


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


def file_part(path: str, content: bytes, name: str | None = "a.pdf") -> dict[str, Any]:
    """A request with a PDF and a question, in the form of the endpoint."""
    if path == MESSAGES:
        source = {"type": "base64", "media_type": "application/pdf", "data": base64_of(content)}
        return message({"type": "document", "source": source, "title": name})
    file = {"file_data": base64_of(content), "filename": name}
    return chat({"type": "file", "file": file}) if path == CHATS else response({"type": "input_file", **file})


@pytest.mark.parametrize("path", [CHATS, RESPONSES, MESSAGES])
async def test_the_pages_of_a_pdf_are_shown_and_other_files_are_texts(path: str) -> None:
    model = reader()
    head = "a.pdf\n" if path == MESSAGES else ""
    answer = await ask(make_app(model), path=path, json=file_part(path, pdf()))
    assert answer.status == 200
    assert read(model)[0] == f'{head}<file name="a.pdf">\n[1536x768]\n[1536x768]\n</file>\nWhy?'
    await ask(make_app(model), path=path, json=file_part(path, b"Bees"))
    assert "Bees" in read(model)[0]
    text = FakeChat()
    answer = await ask(make_app(text), path=path, json=file_part(path, pdf()))
    assert (answer.status, text.requests) == (400, [])  # blank pages have no text


@pytest.mark.parametrize("path", [CHATS, RESPONSES, MESSAGES])
async def test_a_pdf_that_cannot_be_shown_is_refused_by_its_place(path: str) -> None:
    place = {
        CHATS: "messages[0].content[0].file.file_data",
        RESPONSES: "input[0].content[0].file_data",
        MESSAGES: "messages[0].content[0].source.data",
    }[path]
    for content, said in ((pdf(pages=5000), "5,000 pages"), (pdf(password="secret"), "encrypted")):
        answer = await ask(make_app(reader()), path=path, json=file_part(path, content))
        assert answer.status == 400
        assert f"{place}: the file cannot be read: it " in answer.json["error"]["message"]
        assert said in answer.json["error"]["message"]


async def test_pages_and_pictures_share_the_room() -> None:
    model = reader()
    big = {"type": "image_url", "image_url": data_url(encoded(Image.new("RGB", (2048, 2048))))}
    file = {"type": "file", "file": {"file_data": base64_of(pdf(pages=30, size=(100, 100)))}}
    answer = await ask(make_app(model), json=chat(file, big))
    assert answer.status == 200
    assert read(model)[0].count("[640x640]") == 30
    assert "\n[2048x2048]\n" in read(model)[0]
    refused = await ask(make_app(model), json=chat(file, *40 * [data_url(plain())]))
    assert "30 pages; up to 24" in refused.error["message"]


async def test_a_continued_response_shows_the_pages_that_it_had() -> None:
    model = reader()
    app = make_app(model, allow_private_media=True)
    async with serving(fixed(pdf(pages=1))) as web:
        url = f"http://127.0.0.1:{web.port}/a.pdf"
        first = await ask(app, path=RESPONSES, json=response({"type": "input_file", "file_url": url}))
    assert read(model) == ['<file name="a.pdf">\n[1536x768]\n</file>\nWhy?']
    again = {"model": "any", "input": "And?", "previous_response_id": first.json["id"]}
    assert (await ask(app, path=RESPONSES, json=again)).status == 200
    assert read(model)[0] == '<file name="a.pdf">\n[1536x768]\n</file>\nWhy?'
    assert len(web.heads) == 1


async def test_a_video_is_frames() -> None:
    model = reader()
    url = data_url(video(frames=10, rate=10), "video/mp4")
    answer = await ask(make_app(model), json=chat({"type": "video_url", "video_url": {"url": url}}))
    assert answer.status == 200
    assert read(model) == ["<video>\n[64x32]\n[64x32]\n</video>\nWhy?"]
    answer = await ask(make_app(model), json=chat({"type": "video_url", "video_url": data_url(HTML)}))
    assert (answer.status, answer.error["param"]) == (400, "messages[0].content[0].video_url")
    assert "the video cannot be read" in answer.error["message"]
    answer = await ask(make_app(FakeChat()), json=chat({"type": "video_url", "video_url": url}))
    assert answer.error["param"] == "messages[0].content[0].type"
