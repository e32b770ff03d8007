"""An app with a model that repeats and a voice, for the tests of spoken answers."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

from litestar import Litestar

from providers.chat.types import Accepted, ChatPrompt, Finished, GenerationEvent, GenerationRequest, TextDelta, Usage
from providers.echo.provider import EchoProvider
from providers.spec import ModelSpec
from server.app import create_app
from server.settings.settings import Settings
from tests.unit.server.fakes import FakeChat, FakeRegistry

__all__ = ["TEXT", "WORDS", "repeat", "speaking_app"]

TEXT = "Cats are quiet animals. **Dogs** are loud."
WORDS = ["Cats", "are", "quiet", "animals", "Dogs", "are", "loud"]


async def repeat(request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
    """The last turn, word by word."""
    assert isinstance(request.prompt, ChatPrompt)
    yield Accepted(5, 0)
    for word in re.findall(r"\S+\s*", request.prompt.messages[-1].content or ""):
        yield TextDelta(word)
    yield Finished("stop", Usage(5, 9), 0.1, 0.2)


async def speaking_app(chat: FakeChat) -> Litestar:
    """The app, with the voice of the echo provider."""
    voice = EchoProvider(ModelSpec(name="voice", path="", model_type="echo"))
    await voice.start()
    return create_app(Settings(models=(chat.spec, voice.spec)), FakeRegistry((chat, voice)))  # type: ignore[arg-type]
