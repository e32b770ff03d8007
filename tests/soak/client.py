"""A client of the soak, and what every response has to have."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import attrs

from tests.soak.ledger import DOWN, Ledger, Sent
from tests.soak.wire import Reply, request

__all__ = [
    "BODY_LIMIT",
    "BODY_SECONDS",
    "CHAT",
    "ECHO",
    "EMBEDDING",
    "WRITE_SECONDS",
    "Client",
    "check_answer",
    "check_echo",
    "check_stream",
    "settle",
]

CHAT = "/v1/chat/completions"
ECHO, EMBEDDING = "echo", "minilm"
CHATTING = {"smollm2": 3, "tiny": 9, ECHO: 8}
"""The models that chat, and how often each is chosen."""
BODY_LIMIT = 1_000_000
BODY_SECONDS = 5.0
WRITE_SECONDS = 8.0
"""The server's `--max-body-size`, `--body-timeout` and `--write-timeout`."""
WORDS = "river mountain debate voice garden winter signal music ocean history engine planet".split()  # noqa: SIM905


@attrs.define
class Client:
    """Sends the request of one number; everything about it follows from the seed."""

    port: int
    ledger: Ledger
    name: str
    rng: random.Random
    _part: int = 0

    def new(self, kind: str, model: str | None = None, **fields: Any) -> Sent:
        """Enter a request. Its ID is the client's name with a number."""
        self._part += 1
        sent = Sent(id=f"{self.name}-{self._part}", kind=kind, model=model, **fields)
        self.ledger.sent.append(sent)
        return sent

    def text(self) -> str:
        return " ".join(self.rng.choices(WORDS, k=self.rng.choice((2, 5, 12))))

    def chat(self, sent: Sent, **fields: Any) -> dict[str, Any]:
        """A short chat, whose text has the ID of the request."""
        text = f"{sent.id} {self.text()}"
        short = {"max_tokens": 20 if sent.model == ECHO else self.rng.randint(1, 4)}
        return {"model": sent.model, "messages": [{"role": "user", "content": text}], **short, **fields}

    def chatting(self) -> str:
        return self.rng.choices([*CHATTING], [*CHATTING.values()])[0]

    def post(self, sent: Sent, body: Any, path: str = CHAT, *lines: str) -> bytes:
        return request("POST", path, sent.id, json.dumps(body).encode(), *lines)


def settle(sent: Sent, reply: Reply, *expected: int, code: str | None = None) -> Reply:
    """Note the response, and what is wrong with it.

    A 503 for a model that is down counts as expected: whether the model was down is checked at the end.
    """
    sent.ended = time.monotonic()
    sent.status, sent.how = reply.status, "answered" if reply.status == 200 else "refused"
    if reply.id != sent.id:
        sent.problem = f"the response has the ID {reply.id}"
    elif reply.status >= 400 and reply.status != 499:
        error = reply.json()["error"]
        sent.code = error["code"]
        if reply.status == 503 and sent.code in DOWN and sent.model not in (None, ECHO):
            if "retry-after" not in reply.headers:
                sent.problem = "a 503 without Retry-After"
            return reply
        if reply.status not in expected or (code is not None and sent.code != code):
            sent.problem = f"{reply.status} {error}"
    elif reply.status not in expected:
        sent.problem = f"{reply.status}, not {expected}"
    return reply


def check_answer(sent: Sent, reply: Reply) -> None:
    """Check a whole answer of chat or completions."""
    if reply.status == 200:
        answer = reply.json()
        (choice,) = answer["choices"]
        if choice["finish_reason"] not in ("stop", "length"):
            sent.problem = f"finish_reason {choice['finish_reason']}"
        check_echo(sent, json.dumps(choice))


def check_echo(sent: Sent, text: str) -> None:
    if sent.model == ECHO and sent.id not in text:
        sent.problem = f"the answer of another request: {text[:200]}"


def check_stream(sent: Sent, reply: Reply) -> None:
    """Check that a stream has one end: `finish_reason`, or an error, and `[DONE]`."""
    if reply.status != 200:
        return
    *events, done = [line for line in reply.body.decode().splitlines() if line.startswith("data: ")] or [""]
    decoded = [json.loads(event.removeprefix("data: ")) for event in events]
    errors = [event["error"] for event in decoded if "error" in event]
    ends = [choice for event in decoded for choice in event.get("choices", ()) if choice["finish_reason"]]
    if done != "data: [DONE]" or len(errors) + len(ends) != 1:
        sent.problem = f"a stream with {len(ends)} ends and {len(errors)} errors: {reply.body[-300:]!r}"
    elif errors:
        sent.how, sent.code = "failed", errors[0]["code"]
        if sent.code not in DOWN or sent.model == ECHO:
            sent.problem = f"a stream ended with {errors[0]}"
    else:
        text = [c["delta"].get("content") or "" for e in decoded for c in e.get("choices", ())]
        check_echo(sent, "".join(text))
