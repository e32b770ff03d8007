"""Files of this machine in a vector store of the server, for the time of a command."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from server.cli._running.client import Client, ClientError

__all__ = ["stored"]

_POLL_SECONDS = 0.3


@contextmanager
def stored(client: Client, paths: Sequence[Path]) -> Iterator[str]:
    """The id of a new vector store with these files. The store and the files are deleted at the end of the block.

    Raises:
        ClientError: a file cannot be read, here or by the server, or the server has no vector stores.
    """
    made: list[str] = []
    try:
        names = {}
        for path in paths:
            file = client.upload(path)
            made.append(f"/v1/files/{file}")
            names[file] = path.name
        store = client.call("POST", "/v1/vector_stores", json={"name": "debate", "file_ids": [*names]})["id"]
        made.append(f"/v1/vector_stores/{store}")
        while client.call("GET", f"/v1/vector_stores/{store}")["status"] == "in_progress":
            time.sleep(_POLL_SECONDS)
        for file in client.call("GET", f"/v1/vector_stores/{store}/files?filter=failed")["data"]:
            raise ClientError(f"{names.get(file['id'], file['id'])} cannot be read: {file['last_error']['message']}")
        yield store
    finally:
        for resource in reversed(made):
            with suppress(ClientError):
                client.call("DELETE", resource)
