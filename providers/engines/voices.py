"""The voices of a Kokoro folder: their styles, and what their names tell of them."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path

import mlx.core as mx

from providers.engines.engine import EngineLoadError
from providers.speech import Gender, VoiceInfo

__all__ = ["LANGUAGES", "Voices"]

LANGUAGES = {
    "a": "en-US",
    "b": "en-GB",
    "e": "es-ES",
    "f": "fr-FR",
    "h": "hi-IN",
    "i": "it-IT",
    "j": "ja-JP",
    "p": "pt-BR",
    "z": "zh-CN",
}
"""What the first letter of a voice's name says."""
_GENDERS: dict[str, Gender] = {"f": "female", "m": "male"}


class Voices:
    """Voices by name, read from disk when first used.

    Raises:
        EngineLoadError: there is none.
    """

    def __init__(self, folder: Path) -> None:
        files = sorted(file for file in folder.glob("*.safetensors") if file.stem[:1] in LANGUAGES)
        if not files:
            raise EngineLoadError(f"{folder}: the model has no voices there (NAME.safetensors)")
        self._files = {file.stem: file for file in files}
        self._styles: dict[str, mx.array] = {}

    @property
    def ids(self) -> list[str]:
        return list(self._files)

    def language(self, voice: str) -> str:
        return LANGUAGES[voice[0]]

    def told(self, *, spoken: Container[str]) -> list[VoiceInfo]:
        """What clients are told, in the order of the names. `spoken`: languages that can be read."""
        return [
            VoiceInfo(
                id=voice,
                language=self.language(voice),
                gender=_GENDERS.get(voice[1:2]),
                name=voice.partition("_")[2].replace("_", " ").title() or voice,
                spoken=self.language(voice) in spoken,
            )
            for voice in self._files
        ]

    def style(self, mix: Sequence[tuple[str, float]], length: int) -> mx.array:
        """The style, (1, 256), of a mix of voices for a text of so many phonemes. For the MLX thread."""
        styles = [self._loaded(voice)[min(length, len(self._loaded(voice))) - 1] * weight for voice, weight in mix]
        return mx.array(sum(styles))

    def _loaded(self, voice: str) -> mx.array:
        if voice not in self._styles:
            stored = mx.load(str(self._files[voice]))
            assert isinstance(stored, dict)
            self._styles[voice] = stored["voice"].astype(mx.float32)
        return self._styles[voice]
