"""The turns of a debate: each speaker's prompt, statements as they arrive, and what is kept of them."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from server.cli._running.client import Client

__all__ = ["Debate", "Speaker", "Statement"]

_PASSAGES = 3
"""Passages per turn. Small models lose the thread among more."""
_SYSTEM = (
    "You are {name}. In a live debate you argue {side} this claim: {topic}. "
    "Answer your opponent in two or three short spoken sentences. No lists, no headings."
)
_OPENING = "You have the floor, {name}. Make your case."
_ON_THE_CLAIM = " The claim: {topic}"
_CLOSING = "{statement}\n\nThis is your last statement."


@attrs.frozen(kw_only=True)
class Speaker:
    """A side of the debate."""

    name: str
    side: str
    """`for` or `against`."""
    model: str
    voice: str | None = None


@attrs.define(kw_only=True)
class Statement:
    """What a speaker says in a turn, while it arrives and afterwards."""

    speaker: Speaker
    round: int
    """From 1."""
    text: str = ""
    sound: bytes = b""
    """16-bit mono PCM at 24 kHz; empty in a debate without voices."""
    words: list[dict[str, Any]] = attrs.field(factory=list)
    finish_reason: str | None = None
    tokens: int | None = None
    passages: list[dict[str, Any]] = attrs.field(factory=list)
    """What the speaker read of the files."""

    def record(self) -> dict[str, Any]:
        """The statement as JSON, without its sound."""
        return {
            "speaker": self.speaker.name,
            "side": self.speaker.side,
            "round": self.round,
            "text": self.text,
            "finish_reason": self.finish_reason,
            "completion_tokens": self.tokens,
            **({"passages": self.passages} if self.passages else {}),
            **({"duration": len(self.sound) / 48_000, "words": self.words} if self.sound else {}),
        }


@attrs.define(kw_only=True)
class Debate:
    """Two speakers and their statements in order."""

    client: Client
    topic: str
    speakers: tuple[Speaker, Speaker]
    rounds: int
    spoken: bool
    seed: int | None
    sampling: Mapping[str, Any]
    """Parameters of every turn, by the API's names."""
    store: str | None = None
    """The vector store whose passages the speakers read."""
    statements: list[Statement] = attrs.field(factory=list)

    def turns(self) -> Iterator[tuple[Statement, Generator[Any]]]:
        """Each turn: its statement, and the pieces as which it arrives, which the caller reads to the end.

        Raises:
            ClientError: the server cannot be reached or refused the turn; raised while the pieces are read.
        """
        for round in range(1, self.rounds + 1):
            for speaker in self.speakers:
                body = self._body(speaker, round)
                statement = Statement(speaker=speaker, round=round)
                self.statements.append(statement)
                yield statement, self._spoken(statement, body)

    def _spoken(self, statement: Statement, body: dict[str, Any]) -> Generator[Any]:
        from server.cli._running.client import Passages, Piece, Sound

        with closing(self.client.answer(body)) as items:
            for item in items:
                if isinstance(item, Piece):
                    statement.text += "" if item.reasoning else item.text
                elif isinstance(item, Sound):
                    statement.sound += item.pcm
                    statement.words += item.words
                elif isinstance(item, Passages):
                    statement.passages = item.passages
                else:
                    statement.finish_reason, statement.tokens = item.finish_reason, item.completion_tokens
                yield item

    def _body(self, speaker: Speaker, round: int) -> dict[str, Any]:
        body: dict[str, Any] = {"model": speaker.model, "messages": self._messages(speaker, round), **self.sampling}
        if self.seed is not None:
            body["seed"] = self.seed + len(self.statements)
        if self.store is not None:
            body["context"] = {"vector_store_ids": [self.store], "max_results": _PASSAGES}
        if self.spoken:
            body["modalities"] = ["text", "audio"]
            body["audio"] = {"format": "pcm16", **({"voice": speaker.voice} if speaker.voice else {})}
        return body

    def _messages(self, speaker: Speaker, round: int) -> list[dict[str, str]]:
        """The debate as this speaker sees it: the other's statements are the user's turns."""
        system = _SYSTEM.format(name=speaker.name, side=speaker.side, topic=self.topic)
        messages = [{"role": "system", "content": system}]
        if speaker is self.speakers[0]:
            about = _ON_THE_CLAIM.format(topic=self.topic) if self.store else ""  # the files are searched with it
            messages.append({"role": "user", "content": _OPENING.format(name=speaker.name) + about})
        for statement in self.statements:
            role = "assistant" if statement.speaker is speaker else "user"
            messages.append({"role": role, "content": statement.text.strip() or "…"})
        if round == self.rounds > 1:
            messages[-1]["content"] = _CLOSING.format(statement=messages[-1]["content"])
        return messages
