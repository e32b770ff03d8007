"""The transcription of one recording: window by window, each decoded at rising temperatures until it is good.

OpenAI's own program does this in one loop over a whole file (`transcribe` in mlx-audio, whose decoder, alignment and
spectrogram are used here). Here the loop is divided into steps, so that segments are sent as soon as they are decoded,
other requests get their turn between two steps, and a file of any length takes the memory of a window. There are three
differences: silence is skipped and not decoded, each window's spectrogram is scaled by its own loudest part instead of
the file's, and a window is encoded once, however often it is decoded.
"""

from __future__ import annotations

import re
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
from providers.errors import InvalidRequest
from providers.transcription.types import (
    Segment,
    TranscriptionAccepted,
    TranscriptionEvent,
    TranscriptionFinished,
    TranscriptionProgress,
    TranscriptionRequest,
)

__all__ = ["Transcript", "check_duration", "warm_up"]

LADDER = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Temperatures to try one after the other if the request sets none."""
COMPRESSION_RATIO_LIMIT = 2.4
"""Text with a higher compression ratio repeats itself."""
LOGPROB_LIMIT = -1.0
NO_SPEECH_LIMIT = 0.6
FORGET_TEMPERATURE = 0.5
"""Text decoded at a higher temperature is not used as context for the next window."""
HOP: int = HOP_LENGTH
_WINDOW = N_FRAMES * HOP
_MARGIN = SAMPLE_RATE // 2
"""Samples to include before the start of speech: consonants come before the voice."""
_SKIP = SAMPLE_RATE
"""Silence before speech, in samples, that is worth skipping."""
_RUN = SAMPLE_RATE * 3 // 10
"""Samples at the end of a silent window that the next one repeats, because speech may have just begun there."""


@attrs.define
class _Window:
    """Up to thirty seconds of a recording that are being decoded."""

    begin: int
    """Samples from the start of the file, a multiple of `HOP_LENGTH`."""
    frames: int
    """Frames of the spectrogram without padding."""
    features: mx.array
    temperatures: list[float]
    """Temperatures left to try, in order."""
    doubted: tuple[DecodingResult, list[float] | None] | None = None
    """A result that repeats itself or its context, to be compared with one without context."""
    checked: bool = False
    """Whether it has been decoded without context."""


class Transcript:
    """A request in progress. Call `step` until `ended`, on the MLX thread."""

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
        """Make the transcription of a request.

        Args:
            half: whether the model computes in float16.
            language: its code; None to let the model detect it from the first speech.
            prompt: the request's, as tokens.
        """
        self.id = request.id
        self.context = copy_context()
        """The request's context, for log lines."""
        self._request = request
        self._recording = recording
        self._model = model
        self._half = half
        self._language = language
        self._accepted = False
        self._context = prompt
        self._seek = 0
        """The place up to which everything is done, in samples."""
        self._spoken_until = 0.0
        self._window: _Window | None = None
        self._windows = 0
        self._encode_seconds = self._decode_seconds = 0.0
        self.ended = False

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._recording.reader.close()

    def step(self) -> Iterator[TranscriptionEvent]:
        """Find the next window, or decode the present one at one temperature."""
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
        decoded = self._read(self._window)
        self._decode_seconds += time.monotonic() - begun
        if decoded is None:
            return
        window, self._window = self._window, None
        result, logprobs, silent = decoded
        if silent:
            self._seek = window.begin + window.frames * HOP
        else:
            yield from self._accept(window, result, logprobs)
        yield self._progress()
        if self._recording.ended and self._seek + HOP_LENGTH > self._recording.end:
            yield self._finish()

    def _read(self, window: _Window) -> tuple[DecodingResult, list[float] | None, bool] | None:
        """Decode a window once: its text, and whether it is silent. None if it has to be decoded again.

        Noise makes the model repeat itself, the request's prompt, or what was said before. Such a text counts only
        where the model hears speech without that context as well.
        """
        if window.doubted is not None:
            return self._read_without_context(window, *window.doubted)
        result, logprobs = self._decode(window, window.temperatures.pop(0), context=self._context)
        silent = _is_silent(result)
        if not silent and not window.checked and self._is_doubtful(result):
            window.doubted = result, logprobs
            return None
        if _is_poor(result) and window.temperatures:
            return None
        return result, logprobs, silent

    def _read_without_context(
        self, window: _Window, result: DecodingResult, logprobs: list[float] | None
    ) -> tuple[DecodingResult, list[float] | None, bool] | None:
        window.doubted, window.checked = None, True
        bare, its_logprobs = self._decode(window, 0.0, context=[])
        if _is_silent(bare) or bare.no_speech_prob > NO_SPEECH_LIMIT or not bare.text.strip():
            return result, logprobs, True
        if not _is_poor(result):
            return result, logprobs, False
        if not _is_poor(bare):
            return bare, its_logprobs, False
        return None if window.temperatures else (result, logprobs, False)

    def _is_doubtful(self, result: DecodingResult) -> bool:
        if not self._context:
            return False
        loops = bool(result.compression_ratio > COMPRESSION_RATIO_LIMIT)
        return loops or _repeats(result.text, self._tokenizer.decode(self._context))

    # ── from one window to the next ─────────────────────────────────────────────────────────────────────────

    def _next_window(self) -> _Window | None:
        """The next window with speech. None if the stretch ahead is silent, which is skipped."""
        recording = self._recording
        recording.move(self._seek, self._seek + _WINDOW)
        onset = recording.onset(self._seek)
        check_duration(recording.end / SAMPLE_RATE, self._request.max_seconds)  # metadata may be wrong
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

    def _decode(
        self, window: _Window, temperature: float, *, context: list[int]
    ) -> tuple[DecodingResult, list[float] | None]:
        """Decode a window at one temperature. Also returns the tokens' log-probabilities if the request wants them."""
        if self._language is None:
            _, probabilities = self._model.detect_language(window.features)
            self._language = max(probabilities, key=lambda code: probabilities[code])
        options = DecodingOptions(
            task=self._request.task,
            language=self._language,
            temperature=temperature,
            prompt=context,
            fp16=self._half,
        )
        return decode(self._model, window.features, options, logprobs=self._request.logprobs)

    def _accept(self, window: _Window, result: DecodingResult, logprobs: list[float] | None) -> Iterator[Segment]:
        """The segments of a window. Moves to the beginning of the next one."""
        tokenizer = self._tokenizer
        heard = cut(result.tokens, tokenizer, begin=window.begin // HOP, frames=window.frames)
        moved = window.begin + heard.heard * HOP
        if self._request.words:
            self._add_word_times(window, heard.pieces, tokenizer)
            ends = [word["end"] for piece in heard.pieces for word in piece["words"]]
            if ends and not heard.to_the_end and ends[-1] > window.begin / SAMPLE_RATE:
                moved = _whole(round(ends[-1] * SAMPLE_RATE))
        # A window that ended where it began would be decoded forever, and the model may predict times past its end.
        end = window.begin + window.frames * HOP
        self._seek = moved if window.begin < moved < end else end
        for segment in to_segments(heard.pieces, result, logprobs, tokenizer):
            ordered = in_order(segment, self._spoken_until, self._recording.end / SAMPLE_RATE)
            self._spoken_until = ordered.end
            self._context = [*self._context, *ordered.tokens][-self._model.dims.n_text_ctx // 2 :]
            yield ordered
        if result.temperature > FORGET_TEMPERATURE:
            self._context = []

    def _add_word_times(self, window: _Window, pieces: list[dict[str, Any]], tokenizer: Tokenizer) -> None:
        add_word_timestamps(
            segments=pieces,
            model=_EncodedWindow(self._model, window.features),
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


class _EncodedWindow:
    """The model in the form that the alignment expects, with the window already encoded."""

    def __init__(self, model: Any, features: mx.array) -> None:
        self._model = model
        self._features = features
        self.alignment_heads = model.alignment_heads

    def forward_with_cross_qk(self, _: mx.array, tokens: mx.array) -> tuple[mx.array, list[mx.array]]:
        logits, _, cross_qk = self._model.decoder(tokens, self._features[None])
        return logits, cross_qk


def check_duration(seconds: float | None, limit: float | None) -> None:
    """Raises: InvalidRequest: a recording is longer than the server reads."""
    if seconds is not None and limit is not None and seconds > limit:
        raise InvalidRequest(
            f"file: the recording has {seconds:,.0f} seconds or more; at most {limit:,.0f} are transcribed "
            "(--max-audio-seconds)",
            param="file",
        )


def _is_poor(result: DecodingResult) -> bool:
    """Whether to try another temperature."""
    if result.no_speech_prob > NO_SPEECH_LIMIT:
        return False
    return bool(result.compression_ratio > COMPRESSION_RATIO_LIMIT or result.avg_logprob < LOGPROB_LIMIT)


def _is_silent(result: DecodingResult) -> bool:
    """Whether the model finds no speech and is also unsure of its text."""
    return bool(result.no_speech_prob > NO_SPEECH_LIMIT and result.avg_logprob <= LOGPROB_LIMIT)


def _repeats(text: str, context: str) -> bool:
    """Whether every word of a text is one of its context."""
    words, known = (set(re.findall(r"\w+", part.lower())) for part in (text, context))
    return bool(words) and words <= known


def _whole(place: int) -> int:
    """The place of the spectrogram's frame at a place, both in samples."""
    return max(0, place // HOP * HOP)


def warm_up(model: Any, *, half: bool) -> None:
    """Transcribe a second of silence, word times included: the first use compiles the alignment."""
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
        model=_EncodedWindow(model, features),
        tokenizer=tokenizer,
        mel=mel,
        num_frames=100,
        last_speech_timestamp=0.0,
    )
