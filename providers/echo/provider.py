"""The provider without weights: it answers with the last user message, word by word.

It also speaks, with one tone per letter (`providers/echo/speech.py`), paints, in two colours
(`providers/echo/images.py`), and reads of a picture its size: `[image 640x480]`.

Its requests take the path of a real engine's (queue, spans, timeout, events), for front ends, API tests and load tests.
A word with the white space after it is one token, in the prompt and in the answer. A word gets its id when it is first
tokenised; an id without a word reads as its number. `max_tokens`, `stop`, `timeout`, `n` and the context length hold as
for a real model. Sampling parameters have no effect, and it calls no tool of its own accord. It refuses
log-probabilities, grammars and a required tool call.

It answers as fast as the client reads. These settings slow it down or break it off, for the model in `ModelSpec.path`
or for one request in `chat_template_kwargs`, which takes precedence:

    delay        seconds before each word (of a speech: sentence; of an image: step)
    prefill      seconds before the first event
    fail_after   words (sentences; steps) after which the answer breaks off with `EngineCrashed`

As a path they form a query string: `delay=0.05&prefill=0.5`. In `chat_template_kwargs` they carry the prefix
`echo_`: `{"echo_delay": 0.05}`; other keys are for a chat template, which the echo does not have.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from time import monotonic
from typing import Any, overload
from urllib.parse import parse_qsl

import attrs
from msgspec import structs

from providers.chat.queued import QueuedChatProvider
from providers.chat.types import (
    Accepted,
    ChatMessage,
    ChatPrompt,
    Finished,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    Prompt,
    TextDelta,
    TextPrompt,
    TokenPrompt,
    Usage,
    content_text,
)
from providers.echo.images import painted
from providers.echo.speech import ECHO_VOICES, sentences, spoken
from providers.errors import (
    ContextLengthExceeded,
    EngineCrashed,
    InvalidRequest,
    ModelNotReady,
    ServiceError,
    UnsupportedParameter,
)
from providers.image.queued import ImageRecord
from providers.image.types import ImageEvent, ImageRequest
from providers.protocols import Medium, ModelStatus
from providers.spec import ModelSpec
from providers.speech.queued import SpeechRecord
from providers.speech.turns import requests_of, resolved
from providers.speech.types import SpeechAccepted, SpeechEvent, SpeechFinished, SpeechRequest, VoiceInfo

__all__ = ["EchoProvider", "EchoSettings"]

_WORD = re.compile(r"\S+\s*|\s+")
_PREFIX = "echo_"
_FIRST_ID = 1000
_MAX_WORDS = 65_536


@attrs.frozen(kw_only=True)
class EchoSettings:
    """Pace of the echo's answers and where they break off; times in seconds."""

    delay: float = 0.0
    prefill: float = 0.0
    fail_after: int | None = None

    @classmethod
    def parse(cls, path: str) -> EchoSettings:
        """Read `ModelSpec.path`.

        Raises:
            ValueError: `path` is not a query string of settings and numbers.
        """
        try:
            pairs = dict(parse_qsl(path, keep_blank_values=True, strict_parsing=bool(path)))
        except ValueError:
            raise ValueError(
                f"the path of an echo model is empty or like 'delay=0.05&prefill=0.5', not {path!r}"
            ) from None
        return cls().updated(pairs)

    def updated(self, values: Mapping[str, Any]) -> EchoSettings:
        """A copy with these settings.

        Raises:
            ValueError: a name is unknown, or a value is not a number in range.
        """
        changes: dict[str, Any] = {}
        for name, value in values.items():
            if name not in attrs.fields_dict(EchoSettings):
                raise ValueError(f"the echo model has no setting {name!r}; it has delay, prefill and fail_after")
            changes[name] = _number(name, value, int if name == "fail_after" else float)
        return attrs.evolve(self, **changes) if changes else self


class _Vocabulary:
    """Ids of the most recent words; an id never stands for another word later."""

    def __init__(self) -> None:
        self._first = _FIRST_ID
        self._words: list[str] = []
        self._ids: dict[str, int] = {}

    def encode(self, text: str) -> list[int]:
        return [self._id(word) for word in _WORD.findall(text)]

    def decode(self, tokens: Sequence[int]) -> list[str]:
        return [self._word(token) for token in tokens]

    def _id(self, word: str) -> int:
        known = self._ids.get(word)
        if known is not None:
            return known
        if len(self._words) == _MAX_WORDS:
            self._first += _MAX_WORDS
            self._words.clear()
            self._ids.clear()
        self._words.append(word)
        id = self._ids[word] = self._first + len(self._words) - 1
        return id

    def _word(self, token: int) -> str:
        place = token - self._first
        return self._words[place] if 0 <= place < len(self._words) else f"{token} "


class EchoProvider(QueuedChatProvider):
    """A `ChatProvider`, `SpeechProvider` and `ImageProvider` without weights, ready as soon as it is started."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        self._settings = EchoSettings.parse(spec.path)
        self._state: ModelStatus = "loading"
        self._stopped = asyncio.Event()
        self._vocabulary = _Vocabulary()

    @property
    def _status(self) -> ModelStatus:
        return self._state

    @property
    def _context_length(self) -> int | None:
        return self._spec.context_length

    @property
    def _detail(self) -> str | None:
        return None

    @property
    def _reads(self) -> tuple[Medium, ...]:
        return ("image",)

    @property
    def _on_demand(self) -> bool:
        return self._state == "unloaded" or self._spec.lazy

    @property
    def resident(self) -> bool:
        return self._state == "ready"

    async def start(self) -> None:
        if self._state == "loading":
            self._state = "ready"

    def begin_load(self) -> None:
        if self._state == "stopped":
            raise ModelNotReady.shutting_down()
        self._state = "ready"

    async def load(self) -> None:
        self.begin_load()

    async def release(self) -> None:
        if self._state == "ready":
            self._state = "unloaded"

    async def _load(self, request: Any) -> None:
        self.begin_load()

    async def wait_ready(self) -> None:
        if (refusal := self._refusal()) is not None:
            raise refusal

    async def stop(self) -> None:
        self._state = "stopped"
        self.begin_drain()
        self._stopped.set()

    async def tokenize(self, prompt: Prompt, *, add_special_tokens: bool | None = None) -> list[int]:
        """Token ids of the words; there are no special tokens and no template."""
        await self.wait_ready()
        if isinstance(prompt, TokenPrompt):
            return prompt.tokens
        return [token for text in self._texts(prompt) for token in self._vocabulary.encode(text)]

    async def detokenize(self, tokens: Sequence[int]) -> str:
        return "".join(await self.token_strings(tokens))

    async def token_strings(self, tokens: Sequence[int]) -> list[str]:
        await self.wait_ready()
        return self._vocabulary.decode(tokens)

    @overload
    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]: ...

    @overload
    def generate(self, request: ImageRequest) -> AsyncGenerator[ImageEvent, None]: ...

    def generate(
        self, request: GenerationRequest | ImageRequest
    ) -> AsyncGenerator[GenerationEvent, None] | AsyncGenerator[ImageEvent, None]:
        if isinstance(request, GenerationRequest):
            return super().generate(request)
        answered: Any = self._answered  # typed for chats; images take the same path
        events: AsyncGenerator[ImageEvent, None] = answered(
            request, lambda: ImageRecord(self._spec.name, request), answers=request.n
        )
        return events

    def speak(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        answered: Any = self._answered  # typed for chats; speech takes the same path
        events: AsyncGenerator[SpeechEvent, None] = answered(request, lambda: SpeechRecord(self._spec.name, request))
        return events

    async def voices(self) -> Sequence[VoiceInfo]:
        await self.wait_ready()
        return ECHO_VOICES

    async def _speech_events(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        request = resolved(structs.replace(request, language=None), ECHO_VOICES)
        await self._pause(self._settings.prefill)
        texts = [one.text for one in requests_of(request)]
        yield SpeechAccepted(sum(len(sentences(text)) for text in texts), sum(map(len, texts)))
        samples, begun = 0, monotonic()
        for index, piece in enumerate(spoken(request)):
            if index == self._settings.fail_after:
                raise EngineCrashed(f"the echo broke off after {index} sentences, as it was told to")
            await self._pause(self._settings.delay)
            samples += len(piece.audio) // 2
            yield piece
        yield SpeechFinished(samples, monotonic() - begun)

    async def _image_events(self, request: ImageRequest) -> AsyncGenerator[ImageEvent, None]:
        done = 0

        async def pause() -> None:
            nonlocal done
            if done == self._settings.fail_after:
                raise EngineCrashed(f"the echo broke off after {done} steps, as it was told to")
            await self._pause(self._settings.delay)
            done += 1

        await self._pause(self._settings.prefill)
        async with aclosing(painted(request, pause)) as events:
            async for event in events:
                yield event

    def _texts(self, prompt: Prompt) -> list[str]:
        if isinstance(prompt, ChatPrompt):
            return [_text(message) for message in prompt.messages]
        return [prompt.text if isinstance(prompt, TextPrompt) else "".join(self._vocabulary.decode(prompt.tokens))]

    def _last_text(self, prompt: Prompt) -> str:
        """The last user message, empty if there is none; of a prompt without messages, all of it."""
        if isinstance(prompt, ChatPrompt):
            said = [_text(message) for message in prompt.messages if message.role == "user"]
            return (said or [""])[-1]
        return self._texts(prompt)[-1]

    def _refusal(self) -> ServiceError | None:
        if self._state in ("ready", "unloaded"):
            return None
        return ModelNotReady(f"{self._spec.name} is {self._state}", retry_after=1.0)

    def _events(self, request: GenerationRequest | SpeechRequest | ImageRequest) -> AsyncGenerator[Any, None]:
        if isinstance(request, ImageRequest):
            return self._image_events(request)
        return self._speech_events(request) if isinstance(request, SpeechRequest) else self._chat_events(request)

    async def _chat_events(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        _refuse_unsupported(request)
        settings = self._settings_of(request)
        prompt_tokens = self._checked_prompt_tokens(request)
        if request.max_tokens is None:
            request = structs.replace(request, max_tokens=self._spec.max_tokens)
        room = self._spec.context_length - prompt_tokens
        if request.prefill_only:
            request = structs.replace(request, max_tokens=0)
        words, reason, stop = _answer(self._last_text(request.prompt), request, room)
        started = monotonic()
        await self._pause(settings.prefill)
        yield Accepted(prompt_tokens, 0)
        first = started
        for index, word in enumerate(words):
            if index == settings.fail_after:
                raise EngineCrashed(f"the echo broke off after {index} words, as it was told to")
            await self._pause(settings.delay)
            first = first if index else monotonic()
            for answer in range(request.n):
                yield TextDelta(word, index=answer)
        usage = Usage(prompt_tokens, len(words))
        prefill, decode = first - started, monotonic() - first
        for answer in range(request.n):
            yield Finished(reason, usage, prefill_seconds=prefill, decode_seconds=decode, index=answer, stop=stop)

    async def _pause(self, seconds: float) -> None:
        """Sleep until the time is over or `stop` is called. A sleep of 0 seconds still yields to other tasks."""
        if seconds:
            try:
                await asyncio.wait_for(self._stopped.wait(), seconds)
            except TimeoutError:
                return
        else:
            await asyncio.sleep(0)
        if self._state == "stopped":
            raise ModelNotReady.shutting_down()

    def _settings_of(self, request: GenerationRequest) -> EchoSettings:
        if not isinstance(request.prompt, ChatPrompt):
            return self._settings
        given = request.prompt.template_kwargs
        try:
            return self._settings.updated(
                {name.removeprefix(_PREFIX): value for name, value in given.items() if name.startswith(_PREFIX)}
            )
        except ValueError as error:
            raise InvalidRequest(str(error), param="chat_template_kwargs") from None

    def _checked_prompt_tokens(self, request: GenerationRequest) -> int:
        tokens = sum(len(_WORD.findall(text)) for text in self._texts(request.prompt))
        limit = self._spec.context_length
        if tokens >= limit:
            raise ContextLengthExceeded(
                f"the prompt has {tokens} tokens; the context of {self._spec.name} is {limit} tokens",
                param="messages" if isinstance(request.prompt, ChatPrompt) else "prompt",
            )
        return tokens


def _text(message: ChatMessage) -> str:
    """The text of a turn, with the size of each picture: `[image 640x480]`."""
    return content_text(message.content, picture="[image {width}x{height}]")


def _refuse_unsupported(request: GenerationRequest) -> None:
    forced = isinstance(request.prompt, ChatPrompt) and request.prompt.tool_choice.mode == "required"
    for param, asked, what in (
        ("logprobs", request.top_logprobs is not None, "has no log-probabilities"),
        (request.grammar_param, request.grammar is not None, "follows no grammar"),
        ("tool_choice", forced, "calls no tools"),
    ):
        if asked:
            raise UnsupportedParameter(f"the echo model {what}", param=param)


def _answer(text: str, request: GenerationRequest, room: int) -> tuple[list[str], FinishReason, str | None]:
    """The words of the answer, its finish reason, and the stop string that ended it. `room`: tokens that the context
    has left."""
    found = ((place, stop) for stop in request.stop if (place := text.find(stop)) >= 0)
    end, stopped = min(found, default=(len(text), None))
    words = _WORD.findall(text[:end])
    bound = request.max_tokens
    bound = room if bound is None or bound < 0 else min(bound, room)
    if len(words) > bound:
        return words[:bound], "length", None
    return words, "stop", stopped


def _number(name: str, value: Any, kind: type[int] | type[float]) -> int | float:
    problem = ValueError(f"the echo model's {name} must be a number of at least 0, not {value!r}")
    if isinstance(value, bool):
        raise problem
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        raise problem from None
    if not (math.isfinite(number) and number >= 0):
        raise problem
    return number
