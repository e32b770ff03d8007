"""An embedding model whose vectors are made of words, and applications that have it."""

from __future__ import annotations

import asyncio
import re
import struct
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
from litestar import Litestar

from providers.embeddings.types import Embedded, EmbeddingEvent, EmbeddingRequest, Vectors
from tests.unit.server.fakes import FakeEmbedder
from tests.unit.server.harness import WAIT, Exchange, ask, serving

DIMENSIONS = 64


@attrs.define(kw_only=True)
class WordEmbedder(FakeEmbedder):
    """Texts are as similar as their words are. A model with a context of 60 words."""

    failures: list[Exception] = attrs.field(factory=list)
    """Errors of the next requests, in order."""
    gate: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Set: requests are answered."""

    def __attrs_post_init__(self) -> None:
        self.gate.set()

    async def embed(self, request: EmbeddingRequest) -> AsyncGenerator[EmbeddingEvent, None]:
        self.requests.append(request)
        if self.failures:
            raise self.failures.pop(0)
        await self.gate.wait()
        for index, text in enumerate(request.inputs):
            yield Vectors([index], vector(str(text)))
        yield Embedded(DIMENSIONS, 1, 0.01)


def vector(text: str) -> bytes:
    values = [0.0] * DIMENSIONS
    for word in re.findall(r"\w+", text.lower()):
        values[zlib.crc32(word.encode()) % DIMENSIONS] += 1.0
    length = sum(value * value for value in values) ** 0.5 or 1.0
    return struct.pack(f"<{DIMENSIONS}f", *(value / length for value in values))


@asynccontextmanager
async def served(app: Litestar) -> AsyncIterator[Litestar]:
    """Run the application's lifespan in a task of its own, so that a fixture can begin and end it."""
    ready, over = asyncio.Event(), asyncio.Event()

    async def serve() -> None:
        async with serving(app):
            ready.set()
            await over.wait()

    task = asyncio.create_task(serve())
    await ready.wait()
    yield app
    over.set()
    await task


async def upload(app: Litestar, content: bytes | str, name: str = "a.txt", **fields: str) -> Exchange:
    """`POST /v1/files`."""
    parts = {"purpose": "assistants", **fields}
    body = b"".join(
        f'--x\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in parts.items()
    )
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    data = content.encode() if isinstance(content, str) else content
    headers = {"content-type": "multipart/form-data; boundary=x"}
    return await ask(app, path="/v1/files", content=body + head + data + b"\r\n--x--\r\n", headers=headers)


async def made(app: Litestar, path: str, **body: Any) -> Any:
    """The answer to a POST that succeeds. `path` is below `/v1`."""
    answer = await ask(app, path=f"/v1{path}", json=body)
    assert answer.status == 200, answer.body
    return answer.json


async def store_of(app: Litestar, *contents: bytes | str, **fields: Any) -> Any:
    """A vector store with these files, indexed."""
    ids = [(await upload(app, content, f"{place}.txt")).json["id"] for place, content in enumerate(contents)]
    store = await made(app, "/vector_stores", file_ids=ids, **fields)
    return await indexed(app, store["id"])


async def indexed(app: Litestar, store_id: str) -> Any:
    """The store, after no file is being indexed."""
    async with asyncio.timeout(WAIT):
        while True:
            answer = await ask(app, "GET", f"/v1/vector_stores/{store_id}")
            if answer.json["status"] != "in_progress":
                return answer.json
            await asyncio.sleep(0.01)


async def texts_found(app: Litestar, store_id: str, query: str, **body: Any) -> list[str]:
    page = await made(app, f"/vector_stores/{store_id}/search", query=query, **body)
    return [result["content"][0]["text"] for result in page["data"]]
