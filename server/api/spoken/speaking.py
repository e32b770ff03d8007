"""An answer and its voice: text as it is generated, and each stretch of it spoken as soon as its end is certain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
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
from server.api.spoken.stretches import Stretch, StretchCutter, clauses, letters

__all__ = ["SpeakingEvent", "SpokenEvent", "SpokenPiece", "UnspokenWords", "speaking"]

_SAMPLE_BYTES = 2
_AHEAD = 64
"""Events read ahead of the consumer."""
_LETTERS_PER_SECOND = 30.0
"""Twice as fast as voices speak: of a text with more letters, the last ones cannot be said in time."""

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
    events: AsyncGenerator[GenerationEvent, None],
    speak: Speak,
    *,
    answers: int = 1,
    max_seconds: float | None = None,
    speed: float = 1.0,
) -> AsyncGenerator[SpeakingEvent, None]:
    """The events of a chat, with speech for its text. Reasoning and calls are not spoken.

    Text comes when it is generated, the speech of a stretch after its text, and `Finished` after the last piece. With
    `max_seconds`, a sentence comes with its speech, and only if its end lies within that time; the answer ends before
    the first sentence that does not fit, with the finish reason `length`, and the generation stops. It also stops when
    there is far more text than a voice of this speed can say in the time. Of a first sentence that is too long, the
    clauses that fit are spoken, and at least the first one.

    Consume it under `contextlib.aclosing`; closing it ends generation and speech.

    Raises:
        ServiceError: any error of `events` or `speak`.
    """
    joined = _Speaking(events, speak, answers, max_seconds, speed)
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
    letters: int = 0
    begun: bool = False
    """Whether its first sentence is complete."""
    read: bool = False
    """Whether no more of its text is read."""
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
        speed: float,
    ) -> None:
        self.out: asyncio.Queue[SpeakingEvent | Exception | None] = asyncio.Queue(_AHEAD)
        self._events = events
        self._speak = speak
        self._limit = None if max_seconds is None else max_seconds * SAMPLE_RATE
        self._most_letters = None if max_seconds is None else max_seconds * speed * _LETTERS_PER_SECOND
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
                    if all(answer.read for answer in self._answers):
                        break
        except Exception as error:
            await self.out.put(error)
        else:
            self._waiting.put_nowait(None)

    async def _read(self, event: GenerationEvent) -> None:
        if isinstance(event, Accepted):
            self._prompt = event
            await self.out.put(event)
        elif self._answers[event.index].read:
            return
        elif isinstance(event, Finished):
            self._answers[event.index].read = True
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
                answer.begun = True
                self._waiting.put_nowait((event.index, stretch))
            answer.letters += letters(event.text)
            if self._most_letters is not None and answer.begun and answer.letters > self._most_letters:
                answer.read = True
                self._waiting.put_nowait(self._cut_off(event.index))

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
            return
        spoken = await self._spoken(stretch)
        if self._fits(index, spoken):
            await self._pass_on(index, stretch, spoken)
            return
        if not answer.samples:  # a turn of which nothing is said is worse than one that is too long
            await self._say_clauses(index, stretch, spoken)
        answer.full = True
        await self._end(self._cut_off(index))

    def _cut_off(self, index: int) -> Finished:
        """The end of an answer that has more text than time."""
        answer = self._answers[index]
        usage = Usage(self._prompt.prompt_tokens, answer.tokens, self._prompt.cached_tokens, answer.reasoning)
        return Finished("length", usage, 0.0, 0.0, index)

    async def _end(self, finished: Finished) -> None:
        self._unfinished -= 1
        await self.out.put(finished)

    async def _say(self, index: int, stretch: Stretch) -> None:
        """Speak a stretch, and pass its pieces on as they are made."""
        before = self._answers[index].samples
        async with aclosing(self._speak(stretch.text)) as events:
            async for event in events:
                await self._pass_on_event(event, before, stretch, index)

    async def _say_clauses(self, index: int, stretch: Stretch, spoken: Sequence[SpeechEvent]) -> None:
        """Speak the clauses of an answer's first sentence that fit, and at least the first one, with their text.

        `spoken` is the whole sentence: only what fits in it is spoken again, with the melody of an end.
        """
        limit = self._limit or 0.0
        first, *others = clauses(stretch.text)
        words = [word for piece in spoken if isinstance(piece, SpeechPiece) for word in piece.words]
        for end in reversed([clause.start for clause in others[1:]]):
            if all(word.end <= limit for word in words if word.end_char <= end):
                part = Stretch(stretch.text[:end], stretch.start)
                again = await self._spoken(part)
                if self._fits(index, again):
                    await self._pass_on(index, part, again)
                    return
        await self.out.put(TextDelta(first.text, tokens=0, index=index))
        await self._say(index, Stretch(first.text, stretch.start))

    async def _spoken(self, stretch: Stretch) -> list[SpeechEvent]:
        async with aclosing(self._speak(stretch.text)) as events:
            return [event async for event in events]

    def _fits(self, index: int, spoken: Sequence[SpeechEvent]) -> bool:
        """Whether the last sound is within the limit."""
        sounds = [
            span.end for piece in spoken if isinstance(piece, SpeechPiece) for span in piece.phonemes if span.phoneme
        ]
        return self._limit is None or self._answers[index].samples + max(sounds, default=0) <= self._limit

    async def _pass_on(self, index: int, stretch: Stretch, spoken: Sequence[SpeechEvent]) -> None:
        """Pass on a stretch: its text, then its speech."""
        answer = self._answers[index]
        before = answer.samples
        await self.out.put(TextDelta(stretch.text, tokens=0, index=index))
        for event in spoken:
            await self._pass_on_event(event, before, stretch, index)

    async def _pass_on_event(self, event: SpeechEvent, before: int, stretch: Stretch, index: int) -> None:
        if isinstance(event, SpeechPiece):
            await self.out.put(_placed(event, before, self._answers[index], stretch, index))
        elif isinstance(event, SpeechFinished) and event.unspoken:
            words = [
                Unspoken(word.text, word.start_char + stretch.start, word.end_char + stretch.start)
                for word in event.unspoken
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
