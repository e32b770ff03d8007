"""The style vectors of a Kokoro folder's voices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx

from providers.engines.process.engine import EngineLoadError
from providers.speech.voices import VOICE_LANGUAGES, voice_files

__all__ = ["Voices"]


class Voices:
    """The voices of a model folder by name. Each is read from disk when it is first used.

    Raises:
        EngineLoadError: the folder has no voices.
    """

    def __init__(self, folder: Path) -> None:
        self._files = voice_files(folder)
        if not self._files:
            raise EngineLoadError(f"{folder / 'voices'}: the model has no voices there (NAME.safetensors)")
        self._styles: dict[str, mx.array] = {}

    @property
    def ids(self) -> list[str]:
        return list(self._files)

    def language(self, voice: str) -> str:
        return VOICE_LANGUAGES[voice[0]]

    def style(self, mix: Sequence[tuple[str, float]], length: int) -> mx.array:
        """The style, (1, 256), of a mix of voices for a text of `length` phonemes. Only for the MLX thread."""
        styles = [self._loaded(voice)[min(length, len(self._loaded(voice))) - 1] * weight for voice, weight in mix]
        return mx.array(sum(styles))

    def _loaded(self, voice: str) -> mx.array:
        if voice not in self._styles:
            stored = mx.load(str(self._files[voice]))
            assert isinstance(stored, dict)
            self._styles[voice] = stored["voice"].astype(mx.float32)
        return self._styles[voice]
