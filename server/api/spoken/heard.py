"""Turns that were spoken, in a later request: each holds what was heard of it."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from contracts.chat.audio import HeardAnswer, HeardAudio, HeardObject, HeardRequest
from contracts.chat.messages import ChatCompletionRequestMessage
from contracts.chat.request import ChatCompletionRequest
from providers.errors import NotFound
from server.api.spoken.said import SaidAnswer, SaidAnswers
from server.noted import note

__all__ = ["heard_answer", "reported", "with_heard"]


def with_heard(data: ChatCompletionRequest, said: SaidAnswers) -> ChatCompletionRequest:
    """The request, with the words that were heard as the content of each turn that was spoken.

    A turn was spoken if it has `audio`, or if it is an assistant's with exactly the text of an answer that `heard`
    names. An id that is not kept, because it has expired or another server made it, is noted; its turn keeps the text
    that it has.
    """
    cut = reported(data.heard, said)
    messages = [_as_heard(message, cut, said) for message in data.messages]
    same = all(one is other for one, other in zip(messages, data.messages, strict=True))
    return data if same else attrs.evolve(data, messages=messages)


def reported(heard: Sequence[HeardAudio] | None, said: SaidAnswers) -> dict[str, SaidAnswer]:
    """Note how much of each answer was played. Returns the answers by their texts."""
    answers: dict[str, SaidAnswer] = {}
    for report in heard or ():
        answer = said.find(report.audio_id)
        if answer is None:
            note("heard[].audio_id")
        else:
            answer.played_ms = report.played_ms
            answers[answer.text] = answer
    return answers


def _as_heard(
    message: ChatCompletionRequestMessage, cut: dict[str, SaidAnswer], said: SaidAnswers
) -> ChatCompletionRequestMessage:
    if message.role != "assistant":
        return message
    if message.audio is None:
        answer = cut.get(message.content) if isinstance(message.content, str) else None
        return message if answer is None else attrs.evolve(message, content=answer.heard())
    answer = said.find(message.audio.id)
    if answer is None:
        note("messages[].audio")
        return attrs.evolve(message, audio=None)
    if message.audio.played_ms is not None:
        answer.played_ms = message.audio.played_ms
    return attrs.evolve(message, content=answer.heard(), audio=None)


def heard_answer(
    said: SaidAnswers,
    id: str,
    report: HeardRequest,
    *,
    request_id: str,
    object: HeardObject = "chat.completion.audio.heard",
) -> HeardAnswer:
    """Note how much of the answer was played, and record its playback in the trace of the answer's request.

    Raises:
        NotFound: there is no answer of this id, or it has expired.
    """
    answer = said.find(report.audio_id or id)
    if answer is None or id not in (answer.id, answer.completion_id):
        raise NotFound(f"there is no spoken answer {id[:64]!r}; answers are kept for an hour")
    answer.played_ms = report.played_ms
    events = [(event.type, event.at_ms / 1000) for event in report.events or ()]
    answer.playback.report(events, report.played_ms / 1000)
    return HeardAnswer(
        id=answer.id,
        object=object,
        transcript=answer.heard(),
        played_ms=report.played_ms,
        complete=answer.complete,
        expires_at=answer.expires_at,
        request_id=request_id,
    )
