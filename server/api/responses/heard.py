"""The model's turns of a conversation of items, with what was heard of those that were spoken."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from contracts.chat.audio import HeardAudio
from contracts.responses.items import InputMessage, OutputTextContent, StoredItem
from server.api.responses.conversation import response_of
from server.api.responses.parts import content_text
from server.api.spoken.heard import reported
from server.api.spoken.said import SaidAnswer, SaidAnswers

__all__ = ["items_as_heard"]


def items_as_heard(
    items: Sequence[StoredItem], heard: Sequence[HeardAudio] | None, said: SaidAnswers
) -> list[StoredItem]:
    """The items; each message that was spoken ends with the last word that was heard to its end.

    A message was spoken if its id is that of an output item of a spoken response, or if it has exactly the text of a
    response that `heard` names.
    """
    named = reported(heard, said)
    places: dict[str, int] = {}
    return [_as_heard(item, named, said, places) for item in items]


def _as_heard(item: StoredItem, named: dict[str, SaidAnswer], said: SaidAnswers, places: dict[str, int]) -> StoredItem:
    """`places` has the number of characters of each answer that the messages before have."""
    if not isinstance(item, InputMessage) or item.role != "assistant":
        return item
    text = content_text(item.content)
    answer = said.find(response_of(item.id or "")) or named.get(text)
    if answer is None or answer.complete:
        return item
    place = places.get(answer.id, 0)
    if not answer.text.startswith(text, place):  # the client has written another text, or sends the item again
        place = 0
    if not answer.text.startswith(text, place):
        return item
    places[answer.id] = place + len(text)
    return attrs.evolve(
        item, content=[OutputTextContent(type="output_text", text=answer.heard()[place : place + len(text)])]
    )
