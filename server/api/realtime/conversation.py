"""The items of one conversation, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import attrs

from contracts.realtime.items import (
    ItemStatus,
    RealtimeContent,
    RealtimeFunctionCall,
    RealtimeFunctionCallOutput,
    RealtimeItem,
    RealtimeMessage,
)
from providers.errors import InvalidRequest, NotFound, ServiceError
from server.api.realtime.audio.legs import Legs
from server.api.realtime.audio.playback import Playback
from server.api.spoken.said import SaidAnswer

__all__ = ["MAX_BYTES", "MAX_ITEMS", "Conversation", "Item", "new_item_id"]

MAX_ITEMS = 4096
MAX_BYTES = 16 << 20
"""Of the texts of a conversation: a client cannot fill the memory of the server with items."""
MAX_SOUND_BYTES = 16 << 20
"""Of the sound that is kept for `conversation.item.retrieve`: six minutes of 24 kHz. The oldest is dropped first."""
ROOT = "root"


def new_item_id() -> str:
    return f"item_{uuid4().hex[:24]}"


@attrs.define(eq=False)
class Item:
    """An item and what the server knows of it beside its wire form."""

    wire: RealtimeItem
    """Without sound. Its `id` and `status` are set."""
    sound: bytes = b""
    """PCM at 24 kHz of a user's turn; empty if it has none, or if it is no longer kept."""
    samples: int = 0
    """Of the sound, kept or not."""
    said: SaidAnswer | None = None
    """The words of a spoken answer."""
    playback: Playback | None = None
    """Of its sound, once some was sent."""
    legs: Legs | None = None
    """Of a spoken turn that has no answer yet."""
    failure: ServiceError | None = None
    """Why the sound has no transcript."""

    @property
    def id(self) -> str:
        assert self.wire.id is not None
        return self.wire.id

    @property
    def nbytes(self) -> int:
        """Of its texts; an estimate."""
        wire = self.wire
        if isinstance(wire, RealtimeMessage):
            return 256 + 4 * sum(
                len(part.text or "") + len(part.transcript or "") + len(part.image_url or "") for part in wire.content
            )
        text = wire.arguments if isinstance(wire, RealtimeFunctionCall) else wire.output
        return 256 + 4 * len(text)

    def set_status(self, status: ItemStatus) -> None:
        self.wire = attrs.evolve(self.wire, status=status)

    def set_content(self, *content: RealtimeContent) -> None:
        assert isinstance(self.wire, RealtimeMessage)
        self.wire = attrs.evolve(self.wire, content=[*content])

    def transcribe(self, transcript: str) -> None:
        """Set the transcript of each of its recordings: a turn has one."""
        assert isinstance(self.wire, RealtimeMessage)
        self.set_content(
            *(
                attrs.evolve(part, transcript=transcript) if part.type == "input_audio" else part
                for part in self.wire.content
            )
        )

    def hear(self, played_ms: float) -> str:
        """Cut a spoken answer at what was played. Returns the words that were heard to their end."""
        assert self.said is not None
        self.said.played_ms = played_ms
        heard = self.said.heard()
        self.set_content(RealtimeContent(type="output_audio", transcript=heard))
        return heard

    def report_playback(self) -> None:
        """Record in the trace how an answer was played: to its end, or until now. Only the first call counts."""
        playback, said = self.playback, self.said
        if playback is None or said is None:
            return
        clock, now = playback.clock(), said.playback.seconds
        end = ("stopped", now) if playback.ends > clock else ("ended", now + playback.ends - clock)
        played = playback.played_ms if said.played_ms is None else said.played_ms
        said.playback.report([("started", now + playback.began - clock), end], played / 1000)


class Conversation:
    """Items by position and by id."""

    def __init__(self, id: str) -> None:
        self.id = id
        self._items: list[Item] = []
        self._by_id: dict[str, Item] = {}

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def __contains__(self, item: Item) -> bool:
        return self._by_id.get(item.id) is item

    def __len__(self) -> int:
        return len(self._items)

    @property
    def last_id(self) -> str | None:
        return self._items[-1].id if self._items else None

    def check_room(self) -> None:
        """Raises: InvalidRequest: the conversation is full."""
        if len(self._items) >= MAX_ITEMS or sum(item.nbytes for item in self._items) >= MAX_BYTES:
            raise InvalidRequest(
                f"the conversation is full: {len(self._items):,} items; delete some, or begin another session"
            )

    def add(self, item: Item, after: str | None = None) -> str | None:
        """Insert an item after another, at the beginning (`root`), or at the end. Returns the id of the one before it.

        Raises:
            InvalidRequest: there is no such item to insert it after, or there is one of its id.
        """
        if item.id in self._by_id:
            raise InvalidRequest(f"item.id: the conversation has an item {item.id!r} already", param="item.id")
        if after is None:
            place = len(self._items)
        elif after == ROOT:
            place = 0
        elif after in self._by_id:
            place = self._items.index(self._by_id[after]) + 1
        else:
            message = f"previous_item_id: the conversation has no item {after[:64]!r}"
            raise InvalidRequest(message, param="previous_item_id")
        self._items.insert(place, item)
        self._by_id[item.id] = item
        self._bound_sound()
        return self._items[place - 1].id if place else None

    def find(self, id: str, *, param: str = "item_id") -> Item:
        """Raises: NotFound."""
        if (item := self._by_id.get(id)) is None:
            raise NotFound(f"{param}: the conversation has no item {id[:64]!r}", param=param)
        return item

    def before(self, item: Item) -> str | None:
        """The id of the item before this one; None: it is the first, or no longer there."""
        if item.id not in self._by_id:
            return None
        place = self._items.index(item)
        return self._items[place - 1].id if place else None

    def delete(self, id: str) -> Item:
        """Raises: NotFound."""
        item = self.find(id)
        self._items.remove(item)
        del self._by_id[id]
        return item

    def drop_sound(self) -> None:
        """Forget the recordings, not their transcripts."""
        for item in self._items:
            item.sound = b""

    def _bound_sound(self) -> None:
        total = sum(len(item.sound) for item in self._items)
        for item in self._items[:-1]:
            if total <= MAX_SOUND_BYTES:
                break
            total -= len(item.sound)
            item.sound = b""


def with_id(wire: RealtimeItem) -> RealtimeItem:
    """An item of a client, complete: `id`, `object`, `status`, and the current names of its parts."""
    fields: dict[str, Any] = {
        "id": wire.id or new_item_id(),
        "object": "realtime.item",
        "status": wire.status or "completed",
    }
    if isinstance(wire, RealtimeMessage):
        return attrs.evolve(wire, **fields, content=[_current(part, wire.role) for part in wire.content])
    if isinstance(wire, RealtimeFunctionCallOutput):
        return attrs.evolve(wire, **fields)
    return attrs.evolve(wire, **fields, call_id=wire.call_id or f"call_{uuid4().hex[:24]}")


def _current(part: RealtimeContent, role: str) -> RealtimeContent:
    """The beta's names of parts, as those that replaced them."""
    if part.type == "text":
        return attrs.evolve(part, type="output_text" if role == "assistant" else "input_text")
    if part.type == "audio":
        return attrs.evolve(part, type="output_audio" if role == "assistant" else "input_audio")
    return part
