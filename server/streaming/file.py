"""A file as the body of a response, read piece by piece in threads."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import IO
from urllib.parse import quote

from litestar.types import Receive, Scope, Send

__all__ = ["FileStream"]

_PIECE = 262_144


class FileStream:
    """An ASGI application that sends an open file as bytes to save, whatever they are, and closes it.

    Litestar's response for files waits for the client's disconnect after the last byte.
    """

    def __init__(self, file: IO[bytes], filename: str) -> None:
        self._file = file
        self._filename = filename

    @classmethod
    async def of(cls, path: Path, filename: str) -> FileStream:
        """Raises: OSError, where the file cannot be opened."""
        return cls(await asyncio.to_thread(path.open, "rb"), filename)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            "content-type": "application/octet-stream",
            "content-length": str(os.fstat(self._file.fileno()).st_size),
            "content-disposition": f"attachment; filename*=utf-8''{quote(self._filename, safe='')}",
            # A page with scripts must not run at this server's address.
            "x-content-type-options": "nosniff",
        }
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        with self._file:
            await send({"type": "http.response.start", "status": 200, "headers": encoded})
            while piece := await asyncio.to_thread(self._file.read, _PIECE):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
