"""A scripted OpenAI server and a terminal, for the commands that need both."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def chunk(content: str | None = None, finish: str | None = None, **extra: Any) -> str:
    delta = {} if content is None else {"content": content}
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **extra})


class Stub:
    """Answers chats with `script`: SSE data, a comment, or an event to wait for before the next step. Records every
    request."""

    def __init__(self) -> None:
        self.script: list[str | threading.Event] = [chunk("Paris"), chunk(finish="stop"), "[DONE]"]
        self.refusal: tuple[int, dict[str, Any]] | None = None
        self.models: list[dict[str, Any]] = [
            {"id": "embedder", "capabilities": ["embeddings"]},
            {"id": "talker", "capabilities": ["chat"]},
            {"id": "speaker", "capabilities": ["speech"]},
        ]
        self.replies: dict[str, dict[str, Any]] = {}
        """JSON by method and path, for requests other than chats."""
        self.calls: list[str] = []
        """Method and path of the requests that `replies` answers, and their bodies as text."""
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.abandoned = threading.Event()
        """Set when the client disconnected before the end of the script."""
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_DELETE(self) -> None:
                self._replied()

            def _replied(self) -> bool:
                reply = stub.replies.get(f"{self.command} {self.path}")
                if reply is None:
                    return False
                body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
                stub.calls.append(f"{self.command} {self.path} {body}".strip())
                self._json(200, reply)
                return True

            def do_GET(self) -> None:
                if self._replied():
                    return
                stub.keys.append(self.headers["Authorization"])
                self._json(200, {"object": "list", "data": stub.models})

            def do_POST(self) -> None:
                if self._replied():
                    return None
                content = self.rfile.read(int(self.headers["Content-Length"]))
                is_form = self.headers["Content-Type"].startswith("multipart/")
                stub.bodies.append({"form": content.decode("latin-1")} if is_form else json.loads(content))
                if stub.refusal is not None:
                    return self._json(*stub.refusal)
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                self.wfile.write(b": keep-alive\n\n")
                for step in stub.script:
                    if isinstance(step, str):
                        message = f"{step}\n" if step.startswith(":") else f"data: {step}\n\n"
                        self.wfile.write(message.encode())
                    elif not self._wait(step):
                        stub.abandoned.set()
                        return None
                return None

            def _wait(self, event: threading.Event) -> bool:
                while not event.wait(0.01):
                    readable, _, _ = select.select([self.connection], [], [], 0)
                    if readable and not self.connection.recv(1):
                        return False
                return True

            def _json(self, status: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Terminal:
    """The command on its own terminal."""

    _START = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from server.cli import main; main()"

    def __init__(self, *arguments: str, term: str = "dumb") -> None:
        self._master, slave = os.openpty()
        environment = {**os.environ, "TERM": term, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", self._START, *arguments],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment,
        )  # fmt: skip
        os.close(slave)
        self.seen = ""
        self._position = 0

    def expect(self, text: str, timeout: float = 20) -> None:
        """Wait until `text` is shown after the previously expected text."""
        deadline = time.monotonic() + timeout
        while (found := self.seen.find(text, self._position)) < 0:
            ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{text!r} did not appear in {self.seen[self._position :]!r}"
            try:
                self.seen += os.read(self._master, 4096).decode(errors="replace").replace("\r\n", "\n")
            except OSError:  # Linux: no process has the terminal open any more
                raise AssertionError(f"ended without {text!r}: {self.seen[self._position :]!r}") from None
        self._position = found + len(text)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupt_until(self, text: str) -> None:
        """Press Ctrl-C until `text` is shown.

        Between printing the prompt and waiting for keys, readline handles a signal only when the next one arrives.
        """
        for _ in range(10):
            self.type("\x03")
            try:
                self.expect(text, timeout=2)
            except AssertionError:
                continue
            return
        self.expect(text, timeout=0)

    def wait(self) -> int:
        return self.process.wait(20)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)
