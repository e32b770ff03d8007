"""The commands that the server sends, read by the intake."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable

import msgspec

from providers.engine_host.frames import (
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    Command,
    Failed,
    Report,
    decode_command,
    frame_length,
)
from providers.engines.process.pulse import Pulse
from providers.errors import InternalError

__all__ = ["Commands"]

logger = logging.getLogger(__name__)


class Commands:
    """The frames of the server's socket, one command after the other. The pulse counts them."""

    def __init__(self, connection: socket.socket, pulse: Pulse, send: Callable[[Report], None]) -> None:
        """`send`: sends a report to the server."""
        self._reader = connection.makefile("rb")
        self._pulse = pulse
        self._send = send

    def read(self) -> Command | None:
        """Wait for the next command; None for a frame that does not decode, whose request has been failed.

        Raises:
            EOFError: the server has closed the socket.
            OSError: the socket is broken.
            ValueError: the stream is out of sync.
        """
        header = self._reader.read(HEADER_BYTES)
        if len(header) < HEADER_BYTES:
            raise EOFError
        self._pulse.commands += 1
        self._pulse.preparing = True
        length = frame_length(header)
        if length > MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {length} bytes is over the limit: the stream is out of sync")
        body = self._reader.read(length)
        if len(body) < length:
            raise EOFError
        try:
            return decode_command(body)
        except (msgspec.DecodeError, msgspec.ValidationError):
            logger.exception("a command cannot be decoded")
            self._refuse(body)
            return None

    def _refuse(self, body: bytes) -> None:
        """Fail the request of a frame that does not decode, if it names one."""
        with contextlib.suppress(Exception):
            command = msgspec.msgpack.decode(body)
            request_id = command.get("request", command)["id"]
            self._send(Failed(id=str(request_id), **InternalError.unforeseen().to_fields()))
