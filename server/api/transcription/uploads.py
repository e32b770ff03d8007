"""Files that clients send, on disk for an engine."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Protocol

__all__ = ["on_disk"]


PREFIX = "mlx-openai-server-"


class Readable(Protocol):
    """Content that is read once, from its first byte."""

    def read(self, size: int = -1, /) -> bytes: ...

    def close(self) -> None: ...


@asynccontextmanager
async def on_disk(upload: Readable) -> AsyncIterator[Path]:
    """The upload as a file with a name, while the block runs. Only this user can read it.

    Another process opens the file by its name. The file is deleted when the block ends, also by an error.
    """
    with tempfile.NamedTemporaryFile(prefix=PREFIX) as file:
        await asyncio.to_thread(_copy, upload, file)
        yield Path(file.name)


def _copy(upload: Readable, file: IO[bytes]) -> None:
    shutil.copyfileobj(upload, file)
    file.flush()
    upload.close()
