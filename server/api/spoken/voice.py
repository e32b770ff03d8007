"""The voice of an answer: a speech model of this server, checked before anything is generated."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

import attrs

from contracts.chat.audio import AudioOptions
from contracts.speech import AudioFormat, VisemeSet
from providers.errors import InvalidRequest, ModelNotFound, UnsupportedParameter
from providers.speech.protocol import SPEECH, SpeechProvider
from providers.speech.types import SpeechEvent, SpeechFinished, SpeechRequest, Unspoken
from providers.speech.voices import resolve_voices
from server.api.speech.request import to_voices
from server.dependencies import Registry
from server.noted import note

__all__ = ["AnswerVoice", "SpeechOptions", "answer_voice"]

logger = logging.getLogger(__name__)

_LETTERS = re.compile(r"[^\W_](?:.*[^\W_])?", re.DOTALL)


class SpeechOptions(Protocol):
    """The fields of a request that shape the speech of its answer."""

    @property
    def audio(self) -> AudioOptions | None: ...

    @property
    def max_spoken_seconds(self) -> float | None: ...

    @property
    def stream(self) -> bool | None: ...


@attrs.frozen(kw_only=True)
class AnswerVoice:
    """Who speaks, how, and what of it the client wants."""

    provider: SpeechProvider
    request_id: str
    voices: Sequence[tuple[str, float]]
    speed: float
    audio_format: AudioFormat
    viseme_set: VisemeSet
    timings: bool
    gesture_seed: int | None
    """None: gestures are not requested."""

    async def speak(self, text: str) -> AsyncGenerator[SpeechEvent, None]:
        """Speak a stretch of the answer. Text that the voice cannot say is left out: the rest of the answer is spoken.

        Raises:
            ServiceError: any error of the provider, except that of the text.
        """
        request = SpeechRequest(id=self.request_id, text=text, voices=[*self.voices], speed=self.speed)
        try:
            async with aclosing(self.provider.speak(request)) as events:
                async for event in events:
                    yield event
        except InvalidRequest as error:
            if error.param != "input":
                raise
            logger.info("a part of the answer cannot be spoken: %s", error.message)
            yield SpeechFinished(0, 0.0, _letters(text))


async def answer_voice(
    data: SpeechOptions, modalities: Sequence[str] | None, registry: Registry, *, request_id: str
) -> AnswerVoice | None:
    """The voice that a request asks for; None if its modalities have no audio.

    Raises:
        UnsupportedParameter: no model speaks.
        ModelNotFound: no model that speaks has this name.
        InvalidRequest: the model has no such voice, or options contradict each other; `param` is their path.
    """
    if "audio" not in (modalities or ()):
        for name in ("audio", "max_spoken_seconds"):
            if getattr(data, name) is not None:
                note(name)
        return None
    asked = data.audio or AudioOptions()
    gesture_seed = _gesture_seed(asked)
    provider = _provider(asked.model, registry)
    named = asked.voice.id if asked.voice is not None and not isinstance(asked.voice, str) else asked.voice
    known = await provider.voices()
    try:
        voices = [] if named is None else to_voices(named)
        if known:  # otherwise the weights are not there yet, and the provider checks the voices when they are
            voices = resolve_voices(voices, known)
    except InvalidRequest as error:
        raise InvalidRequest(f"audio.{error.message}", param="audio.voice") from None
    wanted = asked.format or ("pcm16" if data.stream else "wav")
    return AnswerVoice(
        provider=provider,
        request_id=request_id,
        voices=voices,
        speed=1.0 if asked.speed is None else asked.speed,
        audio_format="pcm" if wanted == "pcm16" else wanted,
        viseme_set=asked.viseme_set or "oculus",
        timings=asked.include_visemes is not False,
        gesture_seed=gesture_seed,
    )


def _gesture_seed(asked: AudioOptions) -> int | None:
    if not asked.include_gestures:
        if asked.gesture_seed is not None:
            raise InvalidRequest(
                "audio.gesture_seed: only allowed when include_gestures is true", param="audio.gesture_seed"
            )
        return None
    if asked.include_visemes is False:
        raise InvalidRequest(
            "audio.include_gestures: not allowed when include_visemes is false", param="audio.include_gestures"
        )
    return asked.gesture_seed or 0


def _letters(text: str) -> list[Unspoken]:
    """The text from its first letter or digit to its last one."""
    found = _LETTERS.search(text)
    return [] if found is None else [Unspoken(found[0], found.start(), found.end())]


def _provider(name: str | None, registry: Registry) -> SpeechProvider:
    if name is None:
        available = registry.available(SPEECH)
        if available:
            return available[0]
    try:
        return registry.find(SPEECH, name or "")
    except ModelNotFound as error:
        if name is not None and registry.available(SPEECH):
            raise ModelNotFound(error.message, param="audio.model") from None
        raise UnsupportedParameter(
            "modalities: audio needs a model that speaks, and this server has none; start it with one "
            "(--model-type tts), or leave audio out",
            param="modalities",
        ) from None
