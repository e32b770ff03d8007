"""A session of `/v1/realtime` over a WebSocket. A thread receives, so that waiting for events can end after a time."""

from __future__ import annotations

import json
import queue
import threading
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

from server.cli._running.client import ClientError, is_remote

__all__ = ["Session"]

_OPEN_SECONDS = 20.0
_LOST = "the connection closed in the middle of the conversation"
_WRONG_KEY = "invalid_api_key"


class Session:
    """Client side of one session. The caller closes it."""

    def __init__(self, url: str, api_key: str | None, model: str) -> None:
        """Connect.

        Raises:
            ClientError: the server cannot be reached, or refuses the session.
        """
        self._connection = ExitStack()
        self._socket = _entered(self._connection, url, api_key, model)
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._ended = _LOST
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, type: str, **fields: Any) -> None:
        """Send an event, from any thread. To a closed connection it sends nothing: `next` raises the reason."""
        from websockets.exceptions import ConnectionClosed

        try:
            self._socket.send(json.dumps({"type": type, **fields}))
        except ConnectionClosed:
            return

    def next(self, timeout: float) -> dict[str, Any] | None:
        """The next event of the server; None if there is none within `timeout` seconds.

        Raises:
            ClientError: the connection has ended.
        """
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            return None
        if event is None:
            raise ClientError(self._ended)
        return event

    def close(self) -> None:
        self._connection.close()
        self._reader.join(timeout=5.0)

    def _read(self) -> None:
        from websockets.exceptions import ConnectionClosed

        refused = _LOST
        try:
            for message in self._socket:
                event = json.loads(message)
                if event["type"] == "error":
                    refused = _reason(event["error"])
                self._events.put(event)
        except ConnectionClosed as closed:
            if closed.rcvd is not None and closed.rcvd.reason:
                self._ended = refused  # the server says why in its last event
        except (ValueError, TypeError, KeyError):
            self._ended = "the server sent data that is not an event"
        self._events.put(None)


def _reason(error: dict[str, Any]) -> str:
    hint = "; pass it with --api-key or API_KEY" if error.get("code") == _WRONG_KEY else ""
    return f"{error.get('message') or error}{hint}"


def _entered(stack: ExitStack, url: str, api_key: str | None, model: str) -> Any:
    from websockets.exceptions import InvalidHandshake, InvalidStatus
    from websockets.sync.client import connect

    address = f"ws{url.removeprefix('http')}/v1/realtime?model={quote(model, safe='')}"
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        opening = connect(
            address,
            additional_headers=headers,
            open_timeout=_OPEN_SECONDS,
            max_size=None,  # an event has a piece of sound, whose length the server chooses
            proxy=True if is_remote(url) else None,
        )
        return stack.enter_context(opening)
    except InvalidStatus as refused:
        status = refused.response.status_code
        hint = "; pass the key with --api-key or API_KEY" if status == 401 else ""
        raise ClientError(f"the server refused the conversation (HTTP {status}){hint}") from None
    except (OSError, TimeoutError):
        raise ClientError(f"no server responds at {url}; start one with `mlx-openai-server launch`") from None
    except InvalidHandshake as error:
        raise ClientError(f"{url} has no realtime conversations: {error}") from None
