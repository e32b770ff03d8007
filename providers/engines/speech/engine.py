"""The engine of speech models: Kokoro. A step synthesises one piece, of the request that has received the fewest."""

from __future__ import annotations

import time
from contextvars import Context, copy_context

import attrs
import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from providers.engines.process.base import BaseEngine, Loaded, as_service_error, is_late, timed_out
from providers.engines.process.engine import EngineLoadError, Outbox, Progress
from providers.engines.process.platform import Platform
from providers.engines.process.weights import find_folder
from providers.engines.speech.intake import SpeechIntake, SpeechJob, make_phonemizers
from providers.engines.speech.kokoro.model import load_kokoro
from providers.engines.speech.segmentation import Piece
from providers.engines.speech.timing import Timed, time_piece, trimmed
from providers.engines.speech.voices import Voices
from providers.errors import InternalError, ServiceError
from providers.spec import ModelSpec
from providers.speech.types import SAMPLE_RATE, SpeechAccepted, SpeechFinished, SpeechPiece, SpeechRequest, WordSpan
from providers.speech.voices import voices_in

__all__ = ["SpeechEngine"]

_REST_SAMPLES = SAMPLE_RATE * 3 // 10
"""Silence after a sentence."""
_CLAUSE_REST_SAMPLES = SAMPLE_RATE // 10
"""Silence after a clause whose sentence continues."""
_WARMUP = "Hello there."


@attrs.define(eq=False)
class _Speaking:
    """A job in progress."""

    job: SpeechJob
    order: int
    accepted: bool = False
    done: int = 0
    """Pieces that have been sent."""
    samples: int = 0
    started: float = 0.0
    context: Context = attrs.field(factory=copy_context)
    """The request's context, for log lines."""


class SpeechEngine(BaseEngine[SpeechJob]):
    """Implements `Engine` for folders that mlx-audio loads as Kokoro."""

    REQUESTS = (SpeechRequest,)
    NOUN = "a speech model"
    DOES = "synthesizes speech"
    FREED_BYTES = 256 << 20

    def __init__(self, prepared: Platform) -> None:
        super().__init__(prepared)
        self._speaking: dict[str, _Speaking] = {}
        self._submitted = 0

    # ── loading ─────────────────────────────────────────────────────────────────────────────────────────────

    def _load(self, spec: ModelSpec, device: str, progress: Progress) -> Loaded:
        _refuse_unsupported(spec)
        progress("finding the model", None)
        folder = find_folder(spec.path, progress)
        progress("loading weights", None)
        loaded = load_kokoro(folder, on_cpu=device == "cpu")
        progress("loading the dictionaries", None)
        self._kokoro, self._vocabulary = loaded.kokoro, loaded.vocabulary
        self._voices = Voices(folder)
        self._intake = SpeechIntake(make_phonemizers(loaded.vocabulary), self._voices, loaded.vocabulary)
        voices = voices_in(folder, spoken=self._intake.languages)
        return Loaded(model_type="kokoro", dtype="float32", details={"sample_rate": SAMPLE_RATE, "voices": voices})

    def _warm_up(self) -> None:
        voice = next(iter(self._voices.ids))
        language = self._intake.languages[0]
        for piece in self._intake.pieces(_WARMUP, language):
            self._spoken(piece, [(voice, 1.0)], 1.0, 0)

    # ── intake thread ───────────────────────────────────────────────────────────────────────────────────────

    def _job(self, request: SpeechRequest) -> SpeechJob:
        return self._intake.job(request)

    # ── MLX thread ──────────────────────────────────────────────────────────────────────────────────────────

    def submit(self, job: SpeechJob) -> None:
        self._submitted += 1
        self._speaking[job.id] = _Speaking(job, self._submitted)

    def cancel(self, request_id: str) -> None:
        self._speaking.pop(request_id, None)

    @property
    def busy(self) -> bool:
        return bool(self._speaking)

    def step(self, out: Outbox) -> None:
        """Accept new requests, or if there are none, synthesise one piece."""
        self._expire(out)
        new = [speaking for speaking in self._speaking.values() if not speaking.accepted]
        if new:
            for speaking in new:
                speaking.accepted = True
                job = speaking.job
                out.event(job.id, SpeechAccepted(len(job.pieces), job.characters, job.unspoken))
                if not job.pieces:  # an emoji or three dots: there is nothing to speak, which is no error
                    out.event(job.id, SpeechFinished(0, 0.0, job.unspoken))
                    del self._speaking[job.id]
        elif self._speaking:
            first = min(self._speaking.values(), key=lambda waiting: (waiting.done, waiting.order))
            first.context.run(self._speak, first, out)

    def recover(self, out: Outbox) -> None:
        for id in list(self._speaking):
            self._end(id, InternalError.unforeseen(), out)
        mx.clear_cache()

    def _expire(self, out: Outbox) -> None:
        now = time.monotonic()
        for id, speaking in list(self._speaking.items()):
            if is_late(speaking.job, now):
                self._end(id, timed_out(), out)

    def _end(self, id: str, error: ServiceError, out: Outbox) -> None:
        out.fail(id, error)
        del self._speaking[id]

    def _speak(self, speaking: _Speaking, out: Outbox) -> None:
        job, started = speaking.job, time.monotonic()
        speaking.started = speaking.started or started
        piece = job.pieces[speaking.done]
        try:
            timed = self._spoken(piece, job.voices, job.speed, speaking.done)
        except Exception as error:
            self._end(job.id, as_service_error(error, job.id), out)
            return
        phonemes, words = timed.after(speaking.samples)
        now = time.monotonic()
        pcm = _pcm(timed.samples)
        out.event(
            job.id,
            SpeechPiece(piece.text, pcm, phonemes, words, now - started, piece.start_char, piece.end_char),
        )
        speaking.done += 1
        speaking.samples += len(timed.samples)
        if speaking.done == len(job.pieces):
            out.event(job.id, SpeechFinished(speaking.samples, now - speaking.started, job.unspoken))
            del self._speaking[job.id]

    def _spoken(self, piece: Piece, voices: list[tuple[str, float]], speed: float, number: int) -> Timed:
        """Audio and times of a piece. The piece's number seeds the noise: equal arguments give equal samples."""
        symbols, owners = piece.symbols
        rest = None if piece.rest is None else round(piece.rest * SAMPLE_RATE)
        if not symbols:
            return Timed.silence(rest or 0)
        tokens = [self._vocabulary[symbol] for symbol in symbols]
        style = self._voices.style(voices, len(tokens))
        spoken = self._kokoro.speak(tokens, style, speed=speed, seed=number)
        words = [WordSpan(chunk.word, 0, 0, chunk.written, chunk.start_char, chunk.end_char) for chunk in piece.chunks]
        timed = time_piece(spoken.samples, spoken.frames, symbols, owners, words)
        if rest is not None:
            return trimmed(timed, rest=max(rest, _CLAUSE_REST_SAMPLES)).resting(rest)
        return trimmed(timed, rest=_REST_SAMPLES if piece.ends_sentence else _CLAUSE_REST_SAMPLES)


def _refuse_unsupported(spec: ModelSpec) -> None:
    if spec.quantize is not None:
        raise EngineLoadError("quantize: speech models cannot be quantised")
    if spec.dtype not in ("auto", "float32"):
        raise EngineLoadError(f"dtype: speech models run in float32, not in {spec.dtype}")


def _pcm(samples: NDArray[np.float32]) -> bytes:
    """16-bit little-endian PCM. Samples beyond full scale are clipped."""
    return (np.clip(samples, -1.0, 1.0) * 32767.0).round().astype("<i2").tobytes()
