"""Pages of PDFs and frames of videos as pictures, at every endpoint."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.unit.server.api.showing import (
    CHATS,
    MESSAGES,
    RESPONSES,
    base64_of,
    chat,
    data_url,
    file_part,
    read,
    reader,
    response,
)
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app
from tests.unit.server.media.drawn import HTML, encoded, pdf, plain, video
from tests.unit.server.media.web import fixed, serving


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
