"""The runtime around an engine without mlx, driven by prompts: `python -m tests.unit.providers.engines.fake_engine FD`.

"refuse"    `prepare` raises InvalidRequest        "break"     `prepare` raises something unforeseen
"poison"    `submit` raises                        "explode"   `step` raises, once
"block"     `step` never returns                   "count"     each delta is how many answers the step works on
"slow FILE" `prepare` takes as long as FILE exists
"garble"    a report that no frame can hold        "panic", "exit", "interrupt"   `prepare` raises no Exception
"panic in submit", "exit in submit", "panic in step", "exit in step"   the same there
anything    one delta a step, as many as `max_tokens`
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import attrs

from providers.chat.types import Finished, TextDelta, TextPrompt, Usage
from providers.engine_host.frames import (
    Answer,
    Command,
    Detokenize,
    EngineInfo,
    Generate,
    Memory,
    Question,
    Tokenized,
)
from providers.engines.process import runtime
from providers.engines.process.engine import EngineLoadError, Outbox, Progress, TakesLong
from providers.engines.process.runtime import serve
from providers.errors import InternalError, InvalidRequest
from providers.spec import ModelSpec


@attrs.define
class FakeJob:
    id: str
    text: str
    left: int


class Panic(BaseException):
    """As native code raises it."""


FAULTS: dict[str, BaseException] = {
    "panic": Panic("secret"),
    "exit": SystemExit(3),
    "interrupt": KeyboardInterrupt(),
}
"""What ends no request in other programs, by the name in a prompt."""


def _break(text: str, place: str = "") -> None:
    fault = FAULTS.get(text.removesuffix(place))
    if fault is not None and text.endswith(place):
        raise fault


class FakeEngine:
    # Long enough for a test that sends requests together on a busy machine.
    gathers = 0.5

    def __init__(self) -> None:
        self._jobs: dict[str, FakeJob] = {}

    def load(self, spec: ModelSpec, progress: Progress) -> EngineInfo:
        if spec.path == "missing":
            raise EngineLoadError("there is no such model")
        if spec.path == "bug":
            raise ZeroDivisionError("somewhere inside")
        if spec.path == "panic":
            raise Panic("the tokenizer's file is broken")
        _break(spec.path)
        progress("loading", 0.5)
        return EngineInfo(context_length=1, device="cpu", dtype="-", blas="-", load_seconds=0.0)

    def prepare(self, command: Command, *, may_wait: bool = True) -> FakeJob:
        assert isinstance(command, Generate)
        assert isinstance(command.request.prompt, TextPrompt)
        text = command.request.prompt.text
        if text == "refuse":
            raise InvalidRequest("no", param="prompt")
        _break(text)
        if text.startswith("slow"):
            if not may_wait:
                raise TakesLong
            while Path(text.removeprefix("slow ")).exists():
                time.sleep(0.01)
        if text == "break":
            raise ZeroDivisionError("secret")
        return FakeJob(command.request.id, text, command.request.max_tokens or 1)

    def answer(self, question: Question) -> Answer:
        if isinstance(question, Detokenize):
            raise ZeroDivisionError("secret")
        assert isinstance(question.prompt, TextPrompt)
        _break(question.prompt.text)
        return Tokenized(question.id, [2**70 if question.prompt.text == "garble" else len(question.prompt.text)])

    def submit(self, job: FakeJob) -> None:
        if job.text == "poison":
            raise ZeroDivisionError("secret")
        _break(job.text, " in submit")
        self._jobs[job.id] = job

    def cancel(self, request_id: str) -> None:
        self._jobs.pop(request_id, None)

    @property
    def busy(self) -> bool:
        return bool(self._jobs)

    def step(self, out: Outbox) -> None:
        texts = {job.text for job in self._jobs.values()}
        if "block" in texts:
            threading.Event().wait()
        if "explode" in texts:
            raise ZeroDivisionError("secret")
        for text in texts:
            _break(text, " in step")
        for job in list(self._jobs.values()):
            text = "\ud800" if job.text == "garble" else job.text
            out.event(job.id, TextDelta(f"{len(texts)}/" if text.startswith("count") else text))
            job.left -= 1
            if job.left <= 0:
                del self._jobs[job.id]
                out.event(job.id, Finished("stop", Usage(1, 1), 0.0, 0.0))

    def recover(self, out: Outbox, error: BaseException) -> None:
        for id in self._jobs:
            out.fail(id, InternalError.unforeseen())
        self._jobs.clear()

    def memory(self) -> Memory:
        return Memory(active=1, peak=2, cache=3, prefix_cache=len(self._jobs))


def make_engine(spec: ModelSpec) -> Any:
    if spec.model_type == "echo":
        raise EngineLoadError("models of this type have no engine here")
    return FakeEngine()


if __name__ == "__main__":
    runtime.GATHER_SECONDS = 5.0
    serve(socket.socket(fileno=int(sys.argv[1])), make_engine)
