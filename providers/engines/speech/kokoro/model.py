"""Kokoro: from a sentence's phonemes and a style to samples and durations. Only for the MLX thread."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
from mlx_lm.utils import dequantize_model
from numpy.typing import NDArray

from providers.engines.process.engine import EngineLoadError
from providers.engines.speech.kokoro.layers import LSTM, Moments, ResBlock, leaky, plain_conv
from providers.engines.speech.kokoro.vocoder import Decoder

__all__ = ["FRAME_SAMPLES", "Kokoro", "Prepared", "Spoken", "load_kokoro"]

_MAX_FRAMES = 100
"""The most frames of a phoneme."""
FRAME_SAMPLES = 600
"""Samples of a frame of 25 ms."""
_CONTEXT = 4
"""Frames that are decoded on each side of a stretch and cut off, because the convolutions reach over its ends."""


@attrs.frozen(kw_only=True)
class Spoken:
    """A sentence."""

    samples: NDArray[np.float32]
    """From -1 to 1, `600 · sum(frames)` of them."""
    frames: list[int]
    """The number of frames of 25 ms that each token lasts. The first and the last are those of the padding."""


@attrs.frozen(kw_only=True, eq=False)
class Prepared:
    """A sentence whose rhythm and melody are known, and whose samples are not yet decoded."""

    frames: list[int]
    """As in `Spoken`."""
    features: mx.array
    pitch: mx.array
    energy: mx.array
    source: mx.array
    style: mx.array
    moments: Moments = attrs.field(factory=Moments)
    """What the parts that are decoded one by one have in common."""

    @property
    def samples(self) -> int:
        """Samples of the sentence."""
        return FRAME_SAMPLES * sum(self.frames)


@attrs.frozen(kw_only=True)
class LoadedKokoro:
    """A model, and its vocabulary from the folder."""

    kokoro: Kokoro
    vocabulary: dict[str, int]


def load_kokoro(folder: Path, *, on_cpu: bool) -> LoadedKokoro:
    """Load a folder that mlx-audio would load as Kokoro. Weights of any precision become float32.

    Raises:
        EngineLoadError: it holds another model, or an incomplete one.
    """
    config = _config(folder)
    try:
        from mlx_audio.tts.utils import load_model

        module = load_model(folder, lazy=True, model_type="kokoro")
    except ImportError as error:
        raise EngineLoadError(f"the extra `speech` is not installed ({error})") from error
    except Exception as error:
        raise EngineLoadError(f"{folder}: the model cannot be loaded: {error}") from error
    module.eval()
    dequantize_model(module)
    module.apply(lambda array: array.astype(mx.float32) if mx.issubdtype(array.dtype, mx.floating) else array)
    return LoadedKokoro(kokoro=Kokoro(module, on_cpu=on_cpu), vocabulary=config["vocab"])


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EngineLoadError(f"{folder}: not an MLX model folder (config.json is missing)") from None
    except (OSError, ValueError) as error:
        raise EngineLoadError(f"{folder / 'config.json'}: not readable as JSON ({error})") from error
    if not isinstance(config, dict) or "istftnet" not in config or not isinstance(config.get("vocab"), dict):
        raise EngineLoadError(f"{folder}: not a Kokoro model, the only speech model that this server supports")
    return config


class Kokoro:
    """The forward pass of mlx-audio's Kokoro for one sentence at a time."""

    def __init__(self, module: Any, *, on_cpu: bool) -> None:
        self._bert, self._bert_out = module.bert, module.bert_encoder
        predictor, encoder = module.predictor, module.text_encoder
        self._duration_layers = [
            (LSTM(lstm), norm)
            for lstm, norm in zip(predictor.text_encoder.lstms[::2], predictor.text_encoder.lstms[1::2], strict=True)
        ]
        self._duration_lstm, self._duration_out = LSTM(predictor.lstm), predictor.duration_proj
        self._shared = LSTM(predictor.shared)
        self._pitch = [ResBlock(block) for block in predictor.F0], predictor.F0_proj
        self._energy = [ResBlock(block) for block in predictor.N], predictor.N_proj
        self._embedding = encoder.embedding
        self._text_layers = [(plain_conv(layers[0]), layers[1]) for layers in encoder.cnn]
        self._text_lstm = LSTM(encoder.lstm)
        self._decoder = Decoder(module.decoder, on_cpu=on_cpu)

    def speak(self, tokens: Sequence[int], style: mx.array, *, speed: float, seed: int) -> Spoken:
        """Synthesise one sentence.

        Args:
            tokens: ids of the vocabulary, without padding; at most 510 (512 positions, less two of padding).
            style: (1, 256).
            seed: that of the noise in unvoiced sounds; equal seeds give equal samples.
        """
        prepared = self.prepare(tokens, style, speed=speed, seed=seed)
        return Spoken(samples=self.decode(prepared, 0, prepared.samples), frames=prepared.frames)

    def prepare(self, tokens: Sequence[int], style: mx.array, *, speed: float, seed: int) -> Prepared:
        """Everything of a sentence except its samples, in 0.11 to 0.19 of the time of `speak` with equal arguments."""
        padded = _padded(tokens)
        decoder_style, prosody_style = style[:, :128], style[:, 128:]
        features = self._prosody(padded, prosody_style)
        frames = self._durations(features, speed)
        text = self._text(padded)
        mx.eval(frames, text)
        counts = np.array(frames)
        at = mx.array(np.repeat(np.arange(len(counts)), counts))
        pitch, energy = self._curves(features[at], prosody_style)
        source = self._decoder.source(pitch, mx.random.key(seed))
        return Prepared(
            frames=[int(count) for count in counts],
            features=text[at],
            pitch=pitch,
            energy=energy,
            source=source,
            style=decoder_style,
        )

    def decode(self, prepared: Prepared, start: int, stop: int) -> NDArray[np.float32]:
        """The samples from `start` to `stop` of a sentence.

        A part differs a little from the same part of the whole: the decoder normalises by what it has decoded so far,
        so the level of the first part may differ by some decibels.
        """
        total = sum(prepared.frames)
        whole = start == 0 and stop == prepared.samples
        first = max(0, start // FRAME_SAMPLES - _CONTEXT) if start else 0
        last = min(total, -(-stop // FRAME_SAMPLES) + _CONTEXT)
        samples = self._decoder(
            prepared.features[first:last],
            prepared.pitch[2 * first : 2 * last],
            prepared.energy[2 * first : 2 * last],
            prepared.style,
            prepared.source[FRAME_SAMPLES * first : FRAME_SAMPLES * last],
            None if whole else prepared.moments,
        )
        offset = FRAME_SAMPLES * first
        return np.array(samples)[start - offset : stop - offset]

    def durations(self, tokens: Sequence[int], style: mx.array, *, speed: float) -> list[int]:
        """The frames of `speak`, without computing samples."""
        counts = self._durations(self._prosody(_padded(tokens), style[:, 128:]), speed)
        return [int(count) for count in np.array(counts)]

    def _prosody(self, tokens: mx.array, style: mx.array) -> mx.array:
        """(tokens,) → (tokens, 640)."""
        x = self._bert_out(self._bert(tokens[None])[0][0])
        repeated = mx.broadcast_to(style, (x.shape[0], style.shape[1]))
        x = mx.concatenate([x, repeated], axis=1)
        for lstm, norm in self._duration_layers:
            x = mx.concatenate([norm(lstm(x)[None], style)[0], repeated], axis=1)
        return x

    def _durations(self, features: mx.array, speed: float) -> mx.array:
        frames = mx.sigmoid(self._duration_out(self._duration_lstm(features))).sum(axis=-1) / speed
        return mx.clip(mx.round(mx.nan_to_num(frames, nan=1.0)), 1, _MAX_FRAMES).astype(mx.int32)

    def _text(self, tokens: mx.array) -> mx.array:
        """(tokens,) → (tokens, 512)."""
        x = self._embedding(tokens)
        for conv, norm in self._text_layers:
            x = leaky(norm(conv(x)), 0.2)
        return self._text_lstm(x)

    def _curves(self, features: mx.array, style: mx.array) -> tuple[mx.array, mx.array]:
        """Pitch in hertz and energy, two values per frame."""
        shared = self._shared(features)
        curves = []
        for blocks, projection in (self._pitch, self._energy):
            x = shared
            for block in blocks:
                x = block(x, style)
            curves.append(projection(x[None])[0, :, 0])
        return curves[0], curves[1]


def _padded(tokens: Sequence[int]) -> mx.array:
    return mx.array([0, *tokens, 0])
