"""An app with a model that repeats and a voice, for the tests of spoken answers."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

from litestar import Litestar
from msgspec import structs

from providers.chat.types import Accepted, ChatPrompt, Finished, GenerationEvent, GenerationRequest, TextDelta, Usage
from providers.echo.provider import EchoProvider
from providers.errors import InvalidRequest
from providers.spec import ModelSpec
from providers.speech.types import SpeechEvent, SpeechFinished, SpeechRequest, Unspoken
from server.app import create_app
from server.settings.settings import Settings
from tests.unit.server.fakes import FakeChat, FakeRegistry

__all__ = ["TEXT", "WORDS", "WithoutHan", "repeat", "speaking_app"]

TEXT = "Cats are quiet animals. **Dogs** are loud."
WORDS = ["Cats", "are", "quiet", "animals", "Dogs", "are", "loud"]


_HAN = re.compile(r"[\u4e00-\u9fff]+")


async def repeat(request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
    """The last turn, word by word."""
    assert isinstance(request.prompt, ChatPrompt)
    yield Accepted(5, 0)
    for word in re.findall(r"\S+\s*", request.prompt.messages[-1].content or ""):
        yield TextDelta(word)
    yield Finished("stop", Usage(5, 9), 0.1, 0.2)


class WithoutHan(EchoProvider):
    """The echo's voice as one that cannot say Han letters."""

    async def speak(self, request: SpeechRequest) -> AsyncGenerator[SpeechEvent, None]:
        unspoken = [Unspoken(found[0], found.start(), found.end()) for found in _HAN.finditer(request.text)]
        said = _HAN.sub(lambda found: " " * len(found[0]), request.text)
        if unspoken and not any(letter.isalpha() for letter in said):
            raise InvalidRequest("input: the voice cannot say Han letters", param="input")
        async with aclosing(super().speak(structs.replace(request, text=said))) as events:
            async for event in events:
                yield structs.replace(event, unspoken=unspoken) if isinstance(event, SpeechFinished) else event


async def speaking_app(chat: FakeChat, voices: type[EchoProvider] = EchoProvider) -> Litestar:
    """The app, with the voice of the echo provider."""
    voice = voices(ModelSpec(name="voice", path="", model_type="echo"))
    await voice.start()
    return create_app(Settings(models=(chat.spec, voice.spec)), FakeRegistry((chat, voice)))  # type: ignore[arg-type]
