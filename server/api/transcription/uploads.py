"""Files that clients send, on their way to an engine."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from contracts.uploads import Upload

__all__ = ["on_disk"]

PREFIX = "mlx-openai-server-"


@asynccontextmanager
async def on_disk(upload: Upload) -> AsyncIterator[Path]:
    """The upload as a file with a name, as long as the block runs. Readable by this user alone.

    The name is what another process opens; it is gone when the block ends, however it does.
    """
    with tempfile.NamedTemporaryFile(prefix=PREFIX) as file:
        await asyncio.to_thread(_copy, upload, file)
        yield Path(file.name)


def _copy(upload: Upload, file: IO[bytes]) -> None:
    shutil.copyfileobj(upload, file)
    file.flush()
    upload.close()
