"""Searches of a conversation: the passages that its turns have, and those that an answer may cite."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

import attrs

from contracts.responses.items import (
    FileCitation,
    FileSearchCall,
    FileSearchResult,
    InputMessage,
    OutputItem,
    StoredItem,
)
from contracts.responses.response import Response
from providers.chat.types import Content
from server.api.grounding.block import behind
from server.api.grounding.citations import Cited

__all__ = ["blocks", "citable", "citation", "is_user_turn", "recalled", "without_result", "without_results"]

Item = TypeVar("Item", bound=OutputItem | StoredItem)

_UNNAMED = "file"


def is_user_turn(item: object) -> bool:
    return isinstance(item, InputMessage) and item.role == "user"


def recalled(items: Collection[object] | str | None) -> list[str]:
    """The ids of searches that a client sent back without their results."""
    given = () if isinstance(items, str) or items is None else items
    return [item.id for item in given if isinstance(item, FileSearchCall) and item.results is None and item.id]


@attrs.frozen
class Block:
    """Passages in front of a turn: names of files and texts. `cite`: whether the model is to write marks."""

    passages: list[tuple[str, str]]
    cite: bool

    def before(self, content: Content) -> Content:
        """The content of the turn behind the passages."""
        return behind(self.passages, content, cite=self.cite)


def blocks(items: Sequence[StoredItem]) -> Mapping[int, Block]:
    """The passages of each user turn that has any, by the turn's place.

    They are those of the last search between this turn and the next.
    """
    found: dict[int, Block] = {}
    turn: int | None = None
    for place, item in enumerate(items):
        if is_user_turn(item):
            turn = place
        elif isinstance(item, FileSearchCall) and turn is not None and (results := _readable(item)):
            passages = [(result.filename or _UNNAMED, result.text or "") for result in results]
            found[turn] = Block(passages, cite=item.marks is not False)
    return found


def citable(items: Sequence[StoredItem]) -> list[FileSearchResult]:
    """The passages of the last turn that has any, by whose numbers an answer cites them."""
    for item in reversed(items):
        if isinstance(item, FileSearchCall) and (results := _readable(item)):
            return results
    return []


def citation(found: Cited[FileSearchResult]) -> FileCitation:
    """A citation on the wire."""
    passage = found.passage
    return FileCitation(
        index=found.index,
        file_id=passage.file_id or "",
        filename=passage.filename or _UNNAMED,
        start=passage.start,
        end=passage.end,
    )


def without_results(response: Response) -> Response:
    """The response as clients see it whose `include` does not request the results of searches."""
    return attrs.evolve(response, output=[without_result(item) for item in response.output])


def without_result(item: Item) -> Item:
    """The item without the results of a search."""
    return attrs.evolve(item, results=None) if isinstance(item, FileSearchCall) else item


def _readable(call: FileSearchCall) -> list[FileSearchResult]:
    return [result for result in call.results or [] if result.text]
