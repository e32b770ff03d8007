"""Requests that show pictures, in the form of each endpoint, and what the model reads of them."""

from __future__ import annotations

import base64
from typing import Any

from providers.chat.types import content_text
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask
from tests.unit.server.media.drawn import HTML, SVG, plain, png_header

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


def file_part(path: str, content: bytes, name: str | None = "a.pdf") -> dict[str, Any]:
    """A request with a PDF and a question, in the form of the endpoint."""
    if path == MESSAGES:
        source = {"type": "base64", "media_type": "application/pdf", "data": base64_of(content)}
        return message({"type": "document", "source": source, "title": name})
    file = {"file_data": base64_of(content), "filename": name}
    return chat({"type": "file", "file": file}) if path == CHATS else response({"type": "input_file", **file})
