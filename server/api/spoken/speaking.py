"""An answer and its voice: text as it is generated, and each stretch of it spoken as soon as its end is certain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import attrs
from msgspec import structs

from providers.chat.types import Accepted, Finished, GenerationEvent, ReasoningDelta, TextDelta, Usage
from providers.events import Event
from providers.speech.types import (
    SAMPLE_RATE,
    PhonemeSpan,
    SpeechEvent,
    SpeechFinished,
    SpeechPiece,
    Unspoken,
    WordSpan,
)
from server.api.spoken.stretches import Stretch, StretchCutter

__all__ = ["SpeakingEvent", "SpokenEvent", "SpokenPiece", "UnspokenWords", "speaking"]

_SAMPLE_BYTES = 2
_AHEAD = 64
"""Events read ahead of the consumer."""

Speak = Callable[[str], AsyncGenerator[SpeechEvent, None]]
"""Speaks a stretch: its times begin at 0, and its offsets count from the stretch's first character."""


class SpokenPiece(Event, frozen=True):
    """A spoken piece of the answer `index`.

    Times are in samples from the first sample of the answer's audio, offsets in characters from the beginning of its
    text. `start` is the number of samples before the piece.
    """

    piece: SpeechPiece
    start: int
    index: int = 0


class UnspokenWords(Event, frozen=True):
    """Letters of the answer `index` that its voice cannot say. Offsets are as in `SpokenPiece`."""

    words: list[Unspoken]
    index: int = 0


SpokenEvent = GenerationEvent | SpokenPiece
SpeakingEvent = SpokenEvent | UnspokenWords


async def speaking(
    events: AsyncGenerator[GenerationEvent, None], speak: Speak, *, answers: int = 1, max_seconds: float | None = None
) -> AsyncGenerator[SpeakingEvent, None]:
    """The events of a chat, with speech for its text. Reasoning and calls are not spoken.

    Text comes when it is generated, the speech of a stretch after its text, and `Finished` after the last piece. With
    `max_seconds`, a sentence comes with its speech, and only if its end lies within that time; the answer ends before
    the first sentence that does not fit, with the finish reason `length`, and the generation stops. Of a first sentence
    that is too long, the first clause is spoken.

    Consume it under `contextlib.aclosing`; closing it ends generation and speech.

    Raises:
        ServiceError: any error of `events` or `speak`.
    """
    joined = _Speaking(events, speak, answers, max_seconds)
    tasks = [asyncio.create_task(joined.read()), asyncio.create_task(joined.speak())]
    try:
        while (event := await joined.out.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@attrs.define
class _Answer:
    """One of the answers to the prompt, so far."""

    cutter: StretchCutter
    samples: int = 0
    full: bool = False
    """Whether the next sentence did not fit."""
    tokens: int = 0
    reasoning: int = 0
    """Those of `tokens` that were reasoning."""


class _Speaking:
    """The two halves: `read` takes the chat's events, `speak` speaks what `read` has cut."""

    def __init__(
        self,
        events: AsyncGenerator[GenerationEvent, None],
        speak: Speak,
        answers: int,
        max_seconds: float | None,
    ) -> None:
        self.out: asyncio.Queue[SpeakingEvent | Exception | None] = asyncio.Queue(_AHEAD)
        self._events = events
        self._speak = speak
        self._limit = None if max_seconds is None else max_seconds * SAMPLE_RATE
        self._answers = [_Answer(StretchCutter(clauses=max_seconds is None)) for _ in range(answers)]
        self._waiting: asyncio.Queue[tuple[int, Stretch] | Finished | None] = asyncio.Queue()
        """Bounded by the tokens of the answers: generation never waits for the voice."""
        self._prompt = Accepted(0, 0)
        self._unfinished = answers

    async def read(self) -> None:
        try:
            async with aclosing(self._events) as events:
                async for event in events:
                    await self._read(event)
        except Exception as error:
            await self.out.put(error)
        else:
            self._waiting.put_nowait(None)

    async def _read(self, event: GenerationEvent) -> None:
        if isinstance(event, Accepted):
            self._prompt = event
            await self.out.put(event)
        elif isinstance(event, Finished):
            for stretch in self._answers[event.index].cutter.finish():
                self._waiting.put_nowait((event.index, stretch))
            self._waiting.put_nowait(event)
        else:
            answer = self._answers[event.index]
            answer.tokens += event.tokens
            if isinstance(event, ReasoningDelta):
                answer.reasoning += event.tokens
            if not isinstance(event, TextDelta):
                await self.out.put(event)
                return
            if self._limit is None:
                await self.out.put(event)
            for stretch in answer.cutter.feed(event.text):
                self._waiting.put_nowait((event.index, stretch))

    async def speak(self) -> None:
        try:
            while self._unfinished and (item := await self._waiting.get()) is not None:
                await self._next(item)
        except Exception as error:
            await self.out.put(error)
        else:
            await self.out.put(None)

    async def _next(self, item: tuple[int, Stretch] | Finished) -> None:
        if isinstance(item, Finished):
            if not self._answers[item.index].full:
                await self._end(item)
            return
        index, stretch = item
        answer = self._answers[index]
        if answer.full:
            return
        if self._limit is None:
            await self._say(index, stretch)
        elif not await self._say_whole(index, stretch, self._limit):
            if not answer.samples:  # a turn of which nothing is said is worse than one that is too long
                await self._say_first_clause(index, stretch)
            answer.full = True
            usage = Usage(self._prompt.prompt_tokens, answer.tokens, self._prompt.cached_tokens, answer.reasoning)
            await self._end(Finished("length", usage, 0.0, 0.0, index))

    async def _end(self, finished: Finished) -> None:
        self._unfinished -= 1
        await self.out.put(finished)

    async def _say(self, index: int, stretch: Stretch) -> None:
        """Speak a stretch, and pass its pieces on as they are made."""
        answer = self._answers[index]
        before = answer.samples
        async with aclosing(self._speak(stretch.text)) as events:
            async for event in events:
                if isinstance(event, SpeechPiece):
                    await self.out.put(_placed(event, before, answer, stretch, index))
                elif isinstance(event, SpeechFinished):
                    await self._note_unspoken(event, stretch, index)

    async def _say_first_clause(self, index: int, stretch: Stretch) -> None:
        """Speak the first clause of an answer, or its first sentence if that is not divided, with its text."""
        cutter = StretchCutter()
        clause = next(iter([*cutter.feed(stretch.text), *cutter.finish()]))
        await self.out.put(TextDelta(clause.text, tokens=0, index=index))
        await self._say(index, clause)

    async def _say_whole(self, index: int, stretch: Stretch, limit: float) -> bool:
        """Speak a stretch, and pass it on with its text if its last sound is within the limit."""
        answer = self._answers[index]
        before = answer.samples
        async with aclosing(self._speak(stretch.text)) as events:
            found = [event async for event in events]
        pieces = [event for event in found if isinstance(event, SpeechPiece)]
        if before + max((span.end for piece in pieces for span in piece.phonemes if span.phoneme), default=0) > limit:
            return False
        await self.out.put(TextDelta(stretch.text, tokens=0, index=index))
        for piece in pieces:
            await self.out.put(_placed(piece, before, answer, stretch, index))
        for finished in found:
            if isinstance(finished, SpeechFinished):
                await self._note_unspoken(finished, stretch, index)
        return True

    async def _note_unspoken(self, finished: SpeechFinished, stretch: Stretch, index: int) -> None:
        if finished.unspoken:
            words = [
                Unspoken(word.text, word.start_char + stretch.start, word.end_char + stretch.start)
                for word in finished.unspoken
            ]
            await self.out.put(UnspokenWords(words, index))


def _placed(piece: SpeechPiece, before: int, answer: _Answer, stretch: Stretch, index: int) -> SpokenPiece:
    """The piece on the answer's clock. `before` is the number of samples before its stretch."""
    start = answer.samples
    answer.samples += len(piece.audio) // _SAMPLE_BYTES
    moved = structs.replace(
        piece,
        phonemes=[PhonemeSpan(span.phoneme, span.start + before, span.end + before) for span in piece.phonemes],
        words=[_moved(word, before, stretch.start) for word in piece.words],
        start_char=piece.start_char + stretch.start,
        end_char=piece.end_char + stretch.start,
    )
    return SpokenPiece(moved, start, index)


def _moved(word: WordSpan, samples: int, characters: int) -> WordSpan:
    return structs.replace(
        word,
        start=word.start + samples,
        end=word.end + samples,
        start_char=word.start_char + characters,
        end_char=word.end_char + characters,
    )
