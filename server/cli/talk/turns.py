"""The turns of a spoken conversation: what was said, what was heard of it, and how long it took."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any, Literal, Protocol

import attrs

from server.cli.talk.sound import RATE, Speaker

__all__ = ["Session", "Talk", "Turn"]

_LEGS = ("transcript", "first text", "first audio")


class Session(Protocol):
    """Sends events to the server."""

    def send(self, type: str, **fields: Any) -> None: ...


@attrs.define(kw_only=True)
class Turn:
    """One contribution, while it arrives and afterwards."""

    who: Literal["person", "model"]
    item_id: str = ""
    response_id: str = ""
    text: str = ""
    words: list[dict[str, Any]] = attrs.field(factory=list)
    sounds: bool = False
    """Sound has arrived."""
    complete: bool = False
    """The server has sent all of it."""
    interrupted: bool = False
    heard: str = ""
    """Of an interrupted answer: what the conversation keeps."""
    legs: dict[str, float] = attrs.field(factory=dict)
    """Seconds from the end of the person's words, by what then came."""


@attrs.define(kw_only=True)
class Talk:
    """State of one conversation. One thread uses it."""

    session: Session
    speaker: Speaker
    shown: Callable[[Turn], None]
    """Called with each turn that has ended."""
    clock: Callable[[], float] = time.monotonic
    said: Turn | None = None
    """What the person says or said last, until it is shown."""
    answer: Turn | None = None
    """The answer that is generated or played."""
    notice: str = ""
    """What the server refused last."""
    answered: int = 0
    """Responses that have ended."""
    _asked: float = 0.0
    _transcribed: float | None = None
    _generating: str = ""

    def say(self, pcm: bytes) -> None:
        """Send a whole turn of the person, and request the answer."""
        for start in range(0, len(pcm), RATE):
            self._append(pcm[start : start + RATE])
        self.asked()
        self.session.send("input_audio_buffer.commit")
        self.session.send("response.create")

    def hear(self, piece: bytes) -> None:
        """Send a piece of the microphone. Called in the sound library's thread."""
        if piece:
            self._append(piece)

    def asked(self) -> None:
        """The person's words have ended."""
        self._asked, self._transcribed = self.clock(), None

    def interrupt(self) -> bool:
        """Stop the answer, as Ctrl-C does. Returns False if there is none."""
        if self.answer is None:
            return False
        if self._generating:
            self.session.send("response.cancel")
        self._cut()
        return True

    def tick(self) -> None:
        """Notice that an answer was played to its end."""
        if self.answer is not None and self.answer.complete and self.speaker.idle:
            self._end(self.answer)

    def take(self, event: dict[str, Any]) -> None:
        """Take an event of the server."""
        kind = event["type"]
        if kind.startswith(("input_audio_buffer.", "conversation.item.input_audio_transcription.")):
            self._of_the_person(kind, event)
        elif kind == "response.created":
            self._begin(event["response"]["id"])
        elif kind == "response.done":
            self._done(event["response"])
        elif kind == "error":
            self.notice = str(event["error"].get("message") or event["error"])
        elif self.answer is not None and event.get("response_id") == self.answer.response_id:
            self._of_the_answer(self.answer, kind, event)

    def _of_the_person(self, kind: str, event: dict[str, Any]) -> None:
        name = kind.rpartition(".")[2]
        if name == "speech_started":
            self._cut()
        elif name == "speech_stopped":
            self.asked()
        if "item_id" not in event:
            return
        turn = self._person(event["item_id"])
        if name == "delta":
            turn.text += event.get("delta") or ""
        elif name == "completed":
            turn.text, turn.complete = event["transcript"], True
            self._transcribed = self.clock() - self._asked
        elif name == "failed":
            turn.complete = True
            self.notice = str(event["error"].get("message") or "the words could not be transcribed")

    def _of_the_answer(self, answer: Turn, kind: str, event: dict[str, Any]) -> None:
        if kind == "response.output_item.added" and event["item"]["type"] == "message":
            answer.item_id = event["item"]["id"]
        elif kind == "response.output_audio_transcript.delta":
            answer.legs.setdefault("first text", self.clock() - self._asked)
            answer.text += event["delta"]
        elif kind == "response.output_audio.words":
            answer.words += event["words"]
        elif kind == "response.output_audio.delta":
            answer.legs.setdefault("first audio", self.clock() - self._asked)
            answer.sounds = True
            self.speaker.add(base64.b64decode(event["delta"]))

    def _person(self, item_id: str) -> Turn:
        if self.said is None or self.said.item_id != item_id:
            self._show_said()
            self.said = Turn(who="person", item_id=item_id)
        return self.said

    def _begin(self, response_id: str) -> None:
        self._cut()
        self._generating = response_id
        self.answer = Turn(who="model", response_id=response_id)
        self.speaker.begin()

    def _done(self, response: dict[str, Any]) -> None:
        if response["id"] == self._generating:
            self._generating = ""
        self.answered += 1
        if response["status"] == "failed":
            error = (response.get("status_details") or {}).get("error") or {}
            self.notice = str(error.get("message") or "the model could not answer")
        if self.answer is None or self.answer.response_id != response["id"]:
            return
        self.answer.complete = True
        if response["status"] == "cancelled":
            self._cut()
        self.tick()

    def _cut(self) -> None:
        """Stop the sound, and report to the server how much of it was played."""
        answer = self.answer
        if answer is None:
            return
        played = self.speaker.stop()
        answer.interrupted = True
        answer.heard = _heard(answer, played)
        if answer.item_id and answer.sounds:
            self.session.send(
                "conversation.item.truncate",
                item_id=answer.item_id,
                content_index=0,
                audio_end_ms=int(1000 * played),
            )
        self._end(answer)

    def _end(self, answer: Turn) -> None:
        self.answer = None
        if self._transcribed is not None:
            answer.legs["transcript"] = self._transcribed
        answer.legs = {leg: answer.legs[leg] for leg in _LEGS if leg in answer.legs}
        if not answer.interrupted:
            answer.heard = answer.text
        self._show_said()
        self.shown(answer)

    def _show_said(self) -> None:
        if self.said is not None:
            self.said.heard = self.said.text
            self.shown(self.said)
        self.said = None

    def _append(self, pcm: bytes) -> None:
        self.session.send("input_audio_buffer.append", audio=base64.b64encode(pcm).decode())


def _heard(answer: Turn, seconds: float) -> str:
    """The text up to the last word that was played to its end."""
    ends = [word["end_char"] for word in answer.words if word["end_time"] <= seconds + 0.001]
    return answer.text[: max(ends, default=0)]
