"""Client of an engine that speaks."""

from __future__ import annotations

from typing import Any

from providers.engine_host.frames import Failed, Generate
from providers.speech.types import PhonemeSpan, SpeechEvent, SpeechFinished, SpeechPiece, SpeechRequest, WordSpan
from tests.unit.providers.engines.client import EngineClient

__all__ = ["Speaker", "Speech"]


class Speech:
    """All events of one request."""

    def __init__(self) -> None:
        self.events: list[SpeechEvent] = []
        self.failed: Failed | None = None

    def take(self, event: SpeechEvent) -> None:
        self.events.append(event)

    @property
    def pieces(self) -> list[SpeechPiece]:
        return [event for event in self.events if isinstance(event, SpeechPiece)]

    @property
    def audio(self) -> bytes:
        return b"".join(piece.audio for piece in self.pieces)

    @property
    def phonemes(self) -> list[PhonemeSpan]:
        return [span for piece in self.pieces for span in piece.phonemes]

    @property
    def words(self) -> list[WordSpan]:
        return [span for piece in self.pieces for span in piece.words]

    @property
    def ended(self) -> bool:
        return self.failed is not None or (bool(self.events) and isinstance(self.events[-1], SpeechFinished))


class Speaker(EngineClient):
    def speak(self, id: str, text: str, voice: str = "af_heart", **request: Any) -> Speech:
        speech = Speech()
        self.answers[id] = speech  # type: ignore[assignment]
        request.setdefault("voices", [(voice, 1.0)])
        self.send(Generate(request=SpeechRequest(id=id, text=text, **request)))
        return speech

    def spoken(self, id: str, text: str, voice: str = "af_heart", **request: Any) -> Speech:
        speech = self.speak(id, text, voice, **request)
        self.wait(speech)  # type: ignore[arg-type]
        assert speech.failed is None, speech.failed
        return speech
