"""The span of one answer in a realtime session: what the user waited for, leg by leg."""

from __future__ import annotations

from otel import names
from otel._operations.block import Block

__all__ = ["TurnSpan", "start_turn"]


class TurnSpan(Block):
    """The time from the end of what the user said to the last event of the answer.

    It begins with the request for an answer where nothing was said. The events are the ends of its legs, each once.
    """

    __slots__ = ("_marked",)

    def __init__(self, *, model: str, request_id: str, session: str, response: str, ago: float = 0.0) -> None:
        known = {
            names.GEN_AI_PROVIDER_NAME: names.PROVIDER,
            names.GEN_AI_REQUEST_MODEL: model,
            names.GEN_AI_CONVERSATION_ID: session,
            names.GEN_AI_RESPONSE_ID: response,
        }
        super().__init__(f"turn {model}", attributes=known, request_id=request_id, ago=ago)
        self._marked: set[str] = set()

    def speech_stopped(self, ago: float) -> None:
        """The server found, or the client said, this number of seconds ago that the user had stopped."""
        self._mark(names.EVENT_SPEECH_STOPPED, ago)

    def transcribed(self, ago: float = 0.0) -> None:
        """The words of the user are known since this number of seconds."""
        self._mark(names.EVENT_TRANSCRIBED, ago)

    def first_token(self) -> None:
        """The first part of the answer was generated."""
        self._mark(names.EVENT_FIRST_TOKEN)

    def first_audio(self) -> None:
        """The first sound of the answer was made."""
        self._mark(names.EVENT_FIRST_AUDIO)

    def ended(self, status: str) -> None:
        """How the response ended."""
        self._set({names.TURN_STATUS: status})

    def _mark(self, name: str, ago: float = 0.0) -> None:
        if self._recording and name not in self._marked:
            self._marked.add(name)
            self._event(name, ago=ago)


def start_turn(*, model: str, request_id: str, session: str, response: str, ago: float = 0.0) -> TurnSpan:
    """Start the span; use it as `with start_turn(…) as span:`. `ago`: seconds since the user stopped speaking."""
    return TurnSpan(model=model, request_id=request_id, session=session, response=response, ago=ago)
