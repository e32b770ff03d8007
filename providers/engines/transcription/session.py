"""One recording on its way through Whisper: window by window, each decoded at rising temperatures until it is good.

What OpenAI's own program does in one loop over a whole file (`transcribe` in mlx-audio, whose decoder, alignment and
spectrogram are used here), cut into steps, so that segments leave as they are heard, others get their turn between two
of them, and a file of any length takes the memory of a window. It differs in three things: silence is not decoded but
passed over, each window's spectrogram is scaled by its own loudest part instead of the file's, and a window is encoded
once, however often it is decoded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
from mlx_audio.stt.models.whisper.audio import (
    HOP_LENGTH,
    N_FFT,
    N_FRAMES,
    SAMPLE_RATE,
    log_mel_spectrogram,
    pad_or_trim,
)
from mlx_audio.stt.models.whisper.decoding import DecodingOptions, DecodingResult
from mlx_audio.stt.models.whisper.tokenizer import LANGUAGES

from providers.engines.transcription.alignment import add_word_timestamps
from providers.engines.transcription.decoding import decode
from providers.engines.transcription.segments import cut, in_order, to_segments
from providers.engines.transcription.tokenizer import Tokenizer, get_tokenizer
from providers.engines.transcription.vad_window import Recording
from providers.transcription.types import (
    Segment,
    TranscriptionAccepted,
    TranscriptionEvent,
    TranscriptionFinished,
    TranscriptionProgress,
    TranscriptionRequest,
)

__all__ = ["Transcript", "warm_up"]

LADDER = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Temperatures tried one after the other where the request sets none."""
COMPRESSION_RATIO_LIMIT = 2.4
"""Text that packs better than this repeats itself."""
LOGPROB_LIMIT = -1.0
NO_SPEECH_LIMIT = 0.6
FORGET_TEMPERATURE = 0.5
"""Text made at a higher one is no context for what follows."""
HOP: int = HOP_LENGTH
_WINDOW = N_FRAMES * HOP
_MARGIN = SAMPLE_RATE // 2
"""Heard before the place where somebody starts to speak: consonants come before the voice."""
_SKIP = SAMPLE_RATE
"""Silence before speech that is worth to be passed over."""
_RUN = SAMPLE_RATE * 3 // 10
"""Speech that has just begun at the end of a silent window is found by the next."""


@attrs.define
class _Window:
    """Up to thirty seconds that are being decoded."""

    begin: int
    """Samples from the start of the file, a multiple of `HOP_LENGTH`."""
    frames: int
    """Of the spectrogram, before it was padded."""
    features: mx.array
    temperatures: list[float]
    """Still to be tried, in this order."""


class Transcript:
    """A request being answered. `step` until `ended`; on the MLX thread."""

    def __init__(
        self,
        request: TranscriptionRequest,
        recording: Recording,
        model: Any,
        *,
        half: bool,
        language: str | None,
        prompt: list[int],
    ) -> None:
        """`half`: whether the model computes in float16. `language`: its code; None has the model find out from the
        first speech. `prompt`: the request's, as tokens."""
        self.id = request.id
        self.whose = copy_context()
        """For log lines: whose work it is."""
        self._request = request
        self._recording = recording
        self._model = model
        self._half = half
        self._language = language
        self._accepted = False
        self._context = prompt
        self._seek = 0
        """Samples; everything before is done."""
        self._spoken_until = 0.0
        self._window: _Window | None = None
        self._windows = 0
        self._encode_seconds = self._decode_seconds = 0.0
        self.ended = False

    def close(self) -> None:
        """Give the file back. Idempotent."""
        self._recording.reader.close()

    def step(self) -> Iterator[TranscriptionEvent]:
        """Find the next window, or decode the one found at one temperature."""
        if not self._accepted:
            self._accepted = True
            yield TranscriptionAccepted(self._recording.reader.duration)
        if self._window is None:
            self._window = self._next_window()
            if self._window is None:
                yield self._progress()
                if self._recording.ended and self._seek >= self._recording.end:
                    yield self._finish()
                return
        begun = time.monotonic()
        result, logprobs = self._decode(self._window, self._window.temperatures.pop(0))
        self._decode_seconds += time.monotonic() - begun
        if _is_poor(result) and self._window.temperatures:
            return
        window, self._window = self._window, None
        if _is_silent(result):
            self._seek = window.begin + window.frames * HOP
        else:
            yield from self._accept(window, result, logprobs)
        yield self._progress()
        if self._recording.ended and self._seek + HOP_LENGTH > self._recording.end:
            yield self._finish()

    # ── from one window to the next ─────────────────────────────────────────────────────────────────────────

    def _next_window(self) -> _Window | None:
        """The next stretch in which somebody speaks; None where the one ahead is silent, which then is done."""
        recording = self._recording
        recording.move(self._seek, self._seek + _WINDOW)
        onset = recording.onset(self._seek)
        if onset is None:
            ahead = recording.end if recording.ended else recording.end - _RUN
            self._seek = max(self._seek, ahead if recording.ended else _whole(ahead))
            return None
        if onset - self._seek > _SKIP:
            self._seek = _whole(onset - _MARGIN)
        recording.move(self._seek, self._seek + _WINDOW + N_FFT)
        frames = min(N_FRAMES, (recording.end - self._seek) // HOP_LENGTH)
        begun = time.monotonic()
        features = self._encode(recording.samples(self._seek, self._seek + _WINDOW + N_FFT), frames)
        self._encode_seconds += time.monotonic() - begun
        self._windows += 1
        asked = self._request.temperature
        temperatures = [*LADDER] if asked == 0 else [asked]
        return _Window(begin=self._seek, frames=frames, features=features, temperatures=temperatures)

    def _encode(self, samples: np.ndarray[Any, Any], frames: int) -> mx.array:
        mel = log_mel_spectrogram(samples, n_mels=self._model.dims.n_mels, padding=N_FFT)[:frames]
        padded = pad_or_trim(mel, N_FRAMES, axis=-2).astype(mx.float16 if self._half else mx.float32)
        features: mx.array = self._model.encoder(padded[None])[0]
        mx.eval(features)
        return features

    def _progress(self) -> TranscriptionProgress:
        return TranscriptionProgress(self._seek / SAMPLE_RATE, self._recording.reader.duration)

    def _finish(self) -> TranscriptionFinished:
        self.ended = True
        return TranscriptionFinished(
            duration=self._recording.end / SAMPLE_RATE,
            language=None if self._language is None else LANGUAGES[self._language],
            windows=self._windows,
            encode_seconds=self._encode_seconds,
            decode_seconds=self._decode_seconds,
        )

    # ── one window ──────────────────────────────────────────────────────────────────────────────────────────

    def _decode(self, window: _Window, temperature: float) -> tuple[DecodingResult, list[float] | None]:
        """What was said, by one reading; and the log-probability of each of its tokens, where it is wanted."""
        if self._language is None:
            _, probabilities = self._model.detect_language(window.features)
            self._language = max(probabilities, key=lambda code: probabilities[code])
        options = DecodingOptions(
            task=self._request.task,
            language=self._language,
            temperature=temperature,
            prompt=self._context,
            fp16=self._half,
        )
        return decode(self._model, window.features, options, logprobs=self._request.logprobs)

    def _accept(self, window: _Window, result: DecodingResult, logprobs: list[float] | None) -> Iterator[Segment]:
        """The segments of a window; moves on to where the next one begins."""
        tokenizer = self._tokenizer
        heard = cut(result.tokens, tokenizer, begin=window.begin // HOP, frames=window.frames)
        moved = window.begin + heard.heard * HOP
        if self._request.words:
            self._tell_words(window, heard.pieces, tokenizer)
            ends = [word["end"] for piece in heard.pieces for word in piece["words"]]
            if ends and not heard.to_the_end and ends[-1] > window.begin / SAMPLE_RATE:
                moved = _whole(round(ends[-1] * SAMPLE_RATE))
        # A window that ended where it began would be heard for ever; and the model may name times past its end.
        end = window.begin + window.frames * HOP
        self._seek = moved if window.begin < moved < end else end
        for segment in to_segments(heard.pieces, result, logprobs, tokenizer):
            ordered = in_order(segment, self._spoken_until, self._recording.end / SAMPLE_RATE)
            self._spoken_until = ordered.end
            self._context = [*self._context, *ordered.tokens][-self._model.dims.n_text_ctx // 2 :]
            yield ordered
        if result.temperature > FORGET_TEMPERATURE:
            self._context = []

    def _tell_words(self, window: _Window, pieces: list[dict[str, Any]], tokenizer: Tokenizer) -> None:
        add_word_timestamps(
            segments=pieces,
            model=_Heard(self._model, window.features),
            tokenizer=tokenizer,
            mel=window.features,
            num_frames=window.frames,
            last_speech_timestamp=self._spoken_until,
        )
        for piece in pieces:
            piece.setdefault("words", [])

    @property
    def _tokenizer(self) -> Tokenizer:
        return get_tokenizer(
            self._model.is_multilingual,
            num_languages=self._model.num_languages,
            language=self._language,
            task=self._request.task,
        )


class _Heard:
    """The model as the alignment asks for it, with the window already encoded."""

    def __init__(self, model: Any, features: mx.array) -> None:
        self._model = model
        self._features = features
        self.alignment_heads = model.alignment_heads

    def forward_with_cross_qk(self, _: mx.array, tokens: mx.array) -> tuple[mx.array, list[mx.array]]:
        logits, _, cross_qk = self._model.decoder(tokens, self._features[None])
        return logits, cross_qk


def _is_poor(result: DecodingResult) -> bool:
    """Whether another temperature should be tried."""
    if result.no_speech_prob > NO_SPEECH_LIMIT:
        return False
    return bool(result.compression_ratio > COMPRESSION_RATIO_LIMIT or result.avg_logprob < LOGPROB_LIMIT)


def _is_silent(result: DecodingResult) -> bool:
    """Whether the model finds no speech, and is unsure of its text nevertheless."""
    return bool(result.no_speech_prob > NO_SPEECH_LIMIT and result.avg_logprob <= LOGPROB_LIMIT)


def _whole(place: int) -> int:
    """A place in samples, on a frame of the spectrogram."""
    return max(0, place // HOP * HOP)


def warm_up(model: Any, *, half: bool) -> None:
    """Listen to a second of silence, words and all: the alignment is compiled when it is first used."""
    tokenizer = get_tokenizer(model.is_multilingual, num_languages=model.num_languages, language="en")
    mel = pad_or_trim(
        log_mel_spectrogram(np.zeros(SAMPLE_RATE, np.float32), n_mels=model.dims.n_mels), N_FRAMES, axis=-2
    )
    features = model.encoder(mel.astype(mx.float16 if half else mx.float32)[None])[0]
    decode(model, features, DecodingOptions(language="en", sample_len=2, fp16=half), logprobs=False)
    tokens = tokenizer.encode(" one two three")
    piece = {"seek": 0, "start": 0.0, "end": 1.0, "tokens": tokens, "text": ""}
    add_word_timestamps(
        segments=[piece],
        model=_Heard(model, features),
        tokenizer=tokenizer,
        mel=mel,
        num_frames=100,
        last_speech_timestamp=0.0,
    )
