"""The server's end of an engine's socket, in blocking calls."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

from providers.chat.types import (
    Accepted,
    ChatMessage,
    ChatPrompt,
    Finished,
    GenerationEvent,
    GenerationRequest,
    Prompt,
    ReasoningDelta,
    SamplingParams,
    TextDelta,
    TextPrompt,
    TokenLogprob,
    ToolCallDelta,
)
from providers.engine_host.frames import (
    HEADER_BYTES,
    Cancel,
    Command,
    Detokenized,
    EngineInfo,
    Events,
    Failed,
    Generate,
    Load,
    LoadFailed,
    Located,
    Memory,
    Question,
    Ready,
    Report,
    Tokenized,
    decode_report,
    encode,
    frame_length,
)
from providers.spec import ModelSpec

SECONDS = 60.0
GREEDY = SamplingParams(temperature=0.0)


class Answer:
    """All reports for one request, which may have several outputs."""

    def __init__(self, n: int = 1) -> None:
        self._n = max(1, n)
        self.accepted: Accepted | None = None
        self.deltas: list[TextDelta] = []
        self.thoughts: list[ReasoningDelta] = []
        self.call_deltas: list[ToolCallDelta] = []
        self.finishes: dict[int, Finished] = {}
        self.failed: Failed | None = None

    def take(self, event: GenerationEvent) -> None:
        match event:
            case Accepted():
                assert self.accepted is None
                self.accepted = event
            case TextDelta():
                self.deltas.append(event)
            case ReasoningDelta():
                self.thoughts.append(event)
            case ToolCallDelta():
                self.call_deltas.append(event)
            case Finished():
                assert event.index not in self.finishes
                self.finishes[event.index] = event

    @property
    def text(self) -> str:
        return self.text_of(0)

    def text_of(self, index: int) -> str:
        return "".join(delta.text for delta in self.deltas if delta.index == index)

    @property
    def reasoning(self) -> str:
        return "".join(delta.text for delta in self.thoughts if delta.index == 0)

    @property
    def calls(self) -> list[tuple[str | None, str]]:
        """(name, arguments) of each call of the first output."""
        called = [delta for delta in self.call_deltas if delta.index == 0]
        names = [delta.name for delta in called if delta.name is not None]
        return [
            (name, "".join(delta.arguments for delta in called if delta.call == number))
            for number, name in enumerate(names)
        ]

    @property
    def logprobs(self) -> list[TokenLogprob]:
        return [token for delta in self.deltas if delta.index == 0 for token in delta.logprobs or []]

    @property
    def finished(self) -> Finished | None:
        return self.finishes.get(0)

    @property
    def ended(self) -> bool:
        return len(self.finishes) == self._n or self.failed is not None


class EngineClient:
    """One engine process and its reports. `arguments`: instead of `-m providers.engines`."""

    def __init__(self, *arguments: str) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(SECONDS)
        command = [sys.executable, *(arguments or ("-m", "providers.engines")), str(theirs.fileno())]
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True)
        theirs.close()
        self.socket = ours
        self._file = ours.makefile("rb")
        self.answers: dict[str, Answer] = {}
        self.memory: list[Memory] = []
        self.frames = 0

    def send(self, command: Command) -> None:
        self.socket.sendall(encode(command))

    def receive(self) -> Report:
        header = self._file.read(HEADER_BYTES)
        if len(header) < HEADER_BYTES:
            raise EOFError
        return decode_report(self._file.read(frame_length(header)))

    def load(self, path: str, **spec: Any) -> EngineInfo | LoadFailed:
        self.send(Load(spec=ModelSpec(name="tiny", path=path, **spec)))
        while True:
            report = self.receive()
            if isinstance(report, Ready):
                return report.info
            if isinstance(report, LoadFailed):
                return report

    def generate(self, id: str, prompt: str | Prompt, **request: Any) -> Answer:
        request.setdefault("sampling", GREEDY)
        made = TextPrompt(prompt) if isinstance(prompt, str) else prompt
        self.answers[id] = Answer(request.get("n", 1))
        self.send(Generate(request=GenerationRequest(id=id, prompt=made, **request)))
        return self.answers[id]

    def question(self, question: Question) -> Report:
        """Ask, and read reports until the answer arrives."""
        self.send(question)
        while True:
            report = self.pump()
            if isinstance(report, Tokenized | Detokenized | Located | Failed) and report.id == question.id:
                return report

    def cancel(self, id: str) -> None:
        self.send(Cancel(id=id))

    def pump(self) -> Report:
        """Read one report and add it to its answer."""
        report = self.receive()
        if isinstance(report, Events):
            self.frames += 1
            for id, event in report.items:
                self.answers[id].take(event)
        elif isinstance(report, Failed) and report.id in self.answers:
            self.answers[report.id].failed = report
        elif isinstance(report, Memory):
            self.memory.append(report)
        return report

    def wait(self, *answers: Answer) -> None:
        while not all(answer.ended for answer in answers):
            self.pump()

    def ask(self, id: str, prompt: str | Prompt, **request: Any) -> Answer:
        answer = self.generate(id, prompt, **request)
        self.wait(answer)
        return answer

    def close(self) -> str:
        """Close the socket and wait for the process. Returns its stderr."""
        self.socket.shutdown(socket.SHUT_RDWR)
        self._file.close()
        self.socket.close()
        try:
            _, errors = self.process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return errors


def chat(*turns: tuple[str, str], **template_kwargs: Any) -> ChatPrompt:
    messages = [ChatMessage(role=role, content=content) for role, content in turns]
    return ChatPrompt(messages=messages, template_kwargs=template_kwargs)
