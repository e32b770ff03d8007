"""A scripted server of `/v1/realtime`, for the `talk` command."""

from __future__ import annotations

import base64
import http
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

__all__ = ["PIECE", "WORDS", "Converser", "answer", "conversing"]

PIECE = bytes(range(200)) * 120
"""Half a second."""
WORDS = [
    {"word": "Paris", "start_time": 0.0, "end_time": 0.2, "start_char": 0, "end_char": 5},
    {"word": "it", "start_time": 0.2, "end_time": 0.3, "start_char": 7, "end_char": 9},
    {"word": "is", "start_time": 0.3, "end_time": 0.5, "start_char": 10, "end_char": 12},
]
MODELS = [
    {"id": "talker", "capabilities": ["chat"]},
    {"id": "ear", "capabilities": ["transcription"]},
    {"id": "mouth", "capabilities": ["speech"]},
]


def answer(number: int = 1, *, status: str = "completed") -> list[dict[str, Any]]:
    """The events of a response: its text, then one piece of speech."""
    part = {"response_id": f"resp_{number}", "item_id": f"item_a{number}", "output_index": 0, "content_index": 0}
    message = {"id": part["item_id"], "type": "message", "role": "assistant", "content": []}
    details = {"type": "failed", "error": {"code": "engine", "message": "the engine ended"}}
    return [
        {"type": "response.created", "response": {"id": part["response_id"], "status": "in_progress"}},
        {"type": "response.output_item.added", "response_id": part["response_id"], "item": message},
        {"type": "response.output_audio_transcript.delta", **part, "delta": "Paris, "},
        {"type": "response.output_audio_transcript.delta", **part, "delta": "it is."},
        {"type": "response.output_audio.words", **part, "words": WORDS},
        {"type": "response.output_audio.delta", **part, "delta": base64.b64encode(PIECE).decode()},
        {
            "type": "response.done",
            "response": {
                "id": part["response_id"],
                "status": status,
                "status_details": details if status == "failed" else None,
            },
        },
    ]


class Converser:
    """Answers each `response.create` with the next list of `answers`."""

    def __init__(self) -> None:
        self.models = MODELS
        self.answers = [answer()]
        self.transcripts = ["What is the capital of France?"]
        self.refusal: http.HTTPStatus | None = None
        self.error: dict[str, Any] | None = None
        """Sent in place of a session, which the server then closes."""
        self.received: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.url = ""

    def request(self, connection: ServerConnection, request: Request) -> Response | None:
        self.paths.append(request.path)
        self.keys.append(request.headers.get("Authorization"))
        if request.path.startswith("/v1/models"):
            body = json.dumps({"object": "list", "data": self.models}).encode()
            return Response(200, "OK", Headers({"Content-Length": str(len(body)), "Connection": "close"}), body)
        return None if self.refusal is None else connection.respond(self.refusal, "refused")

    def serve(self, connection: ServerConnection) -> None:
        send = lambda event: connection.send(json.dumps(event))  # noqa: E731
        if self.error is not None:
            send({"type": "error", "error": self.error})
            connection.close(1008, self.error["code"])
            return
        send({"type": "session.created", "session": {}})
        turns = 0
        try:
            for message in connection:
                event = json.loads(message)
                self.received.append(event)
                if event["type"] == "session.update":
                    send({"type": "session.updated", "session": {}})
                elif event["type"] == "input_audio_buffer.commit":
                    item = {"item_id": f"item_u{turns}"}
                    send({"type": "input_audio_buffer.committed", **item})
                    kind = "conversation.item.input_audio_transcription.completed"
                    send({"type": kind, **item, "transcript": self.transcripts[turns % len(self.transcripts)]})
                elif event["type"] == "response.create":
                    for each in self.answers[turns]:
                        send(each)
                    turns += 1
        except ConnectionClosed:
            return


@contextmanager
def conversing() -> Generator[Converser]:
    """A running server, for the block."""
    converser = Converser()
    with serve(converser.serve, "127.0.0.1", 0, process_request=converser.request) as server:
        converser.url = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield converser
        server.shutdown()
        thread.join()
