"""The engine process beside its server: it holds nothing of the server's."""

from __future__ import annotations

import os
import socket
import subprocess

from providers.engine_host.host import ENGINE_COMMAND


def test_an_engine_closes_what_it_inherited() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    with ours, theirs, open(reader, "rb") as inherited:
        process = subprocess.Popen([*ENGINE_COMMAND, str(theirs.fileno())], pass_fds=[theirs.fileno(), writer])
        theirs.close()
        os.close(writer)
        # The end of the pipe comes while the engine waits for its first command.
        assert inherited.read() == b""
        assert process.poll() is None
        ours.shutdown(socket.SHUT_RDWR)
        assert process.wait(60) == 0
