"""The engine of speech models: Kokoro. A step synthesises one sentence, of the request that has been given fewest."""

from __future__ import annotations

import logging
import time
from contextvars import Context, copy_context
from pathlib import Path
from typing import ClassVar

import attrs
import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from providers.engine_host.frames import (
    Command,
    Detokenize,
    Detokenized,
    EngineInfo,
    Generate,
    Memory,
    Tokenize,
    Tokenized,
)
from providers.engines.process import platform
from providers.engines.process.engine import EngineLoadError, Outbox, Progress
from providers.engines.process.weights import find_folder, mlx_device
from providers.engines.speech.intake import SpeechIntake, SpeechJob, make_phonemizers
from providers.engines.speech.kokoro.model import Kokoro, load_kokoro
from providers.engines.speech.segmentation import Piece
from providers.engines.speech.timing import Timed, time_piece, trimmed
from providers.engines.speech.voices import Voices
from providers.errors import GenerationTimeout, InternalError, InvalidRequest, ServiceError
from providers.spec import ModelSpec
from providers.speech.types import SAMPLE_RATE, SpeechAccepted, SpeechFinished, SpeechPiece, SpeechRequest
from providers.speech.voices import voices_in

__all__ = ["SpeechEngine"]

logger = logging.getLogger(__name__)

_REST_SAMPLES = SAMPLE_RATE * 3 // 10
"""Silence after a sentence."""
_CLAUSE_REST_SAMPLES = SAMPLE_RATE // 10
"""Silence after a clause whose sentence goes on."""
_CACHE_BYTES = 256 << 20
"""Of freed arrays that are kept for the next sentence."""
_WARMUP = "Hello there."


@attrs.define(eq=False)
class _Speaking:
    """A job and how far it has come."""

    job: SpeechJob
    order: int
    accepted: bool = False
    done: int = 0
    """Pieces."""
    samples: int = 0
    started: float = 0.0
    whose: Context = attrs.field(factory=copy_context)
    """For log lines: whose work it is."""


class SpeechEngine:
    """Implements `Engine` for folders that mlx-audio loads as Kokoro."""

    gathers: ClassVar[float] = 0.0

    def __init__(self, prepared: platform.Platform) -> None:
        self._platform = prepared
        self._speaking: dict[str, _Speaking] = {}
        self._submitted = 0

    # ── loading ─────────────────────────────────────────────────────────────────────────────────────────────

    def load(self, spec: ModelSpec, progress: Progress) -> EngineInfo:
        started = time.monotonic()
        _refuse_unsupported(spec)
        if spec.memory_limit is not None:
            mx.set_memory_limit(spec.memory_limit)
        progress("finding the model", None)
        folder = find_folder(spec.path, progress)
        progress("loading weights", None)
        loaded = load_kokoro(folder, on_cpu=mlx_device() == "cpu")
        progress("loading the dictionaries", None)
        self.attach(loaded.kokoro, loaded.vocabulary, folder)
        mx.set_cache_limit(_CACHE_BYTES)
        if spec.warmup:
            progress("warming up", None)
            self._warm_up()
        mx.clear_cache()
        mx.reset_peak_memory()
        return EngineInfo(
            context_length=None,
            device=mlx_device(),
            dtype="float32",
            blas=self._platform.blas if mlx_device() == "cpu" else "-",
            load_seconds=time.monotonic() - started,
            memory_bytes=mx.get_active_memory(),
            details={
                "model_type": "kokoro",
                "sample_rate": SAMPLE_RATE,
                "voices": voices_in(folder, spoken=self._intake.languages),
            },
        )

    def attach(self, kokoro: Kokoro, vocabulary: dict[str, int], folder: Path) -> None:
        """Take a loaded model into service.

        Raises:
            EngineLoadError: the folder has no voices, or what reads English is not installed.
        """
        self._kokoro = kokoro
        self._vocabulary = vocabulary
        self._voices = Voices(folder)
        self._intake = SpeechIntake(make_phonemizers(vocabulary), self._voices)

    def _warm_up(self) -> None:
        voice = next(iter(self._voices.ids))
        language = self._intake.languages[0]
        for piece in self._intake.pieces(_WARMUP, language):
            self._spoken(piece, [(voice, 1.0)], 1.0, 0)

    # ── intake thread ───────────────────────────────────────────────────────────────────────────────────────

    def prepare(self, command: Command) -> SpeechJob:
        if not isinstance(command, Generate) or not isinstance(command.request, SpeechRequest):
            raise InvalidRequest("a speech model speaks texts, nothing else")
        return self._intake.job(command.request)

    def answer(self, question: Tokenize | Detokenize) -> Tokenized | Detokenized:
        raise InvalidRequest("a speech model has no tokens")

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
        """Accept what is new, or else synthesise one piece."""
        self._expire(out)
        new = [speaking for speaking in self._speaking.values() if not speaking.accepted]
        if new:
            for speaking in new:
                speaking.accepted = True
                job = speaking.job
                out.event(job.id, SpeechAccepted(pieces=len(job.pieces), characters=job.characters))
                if not job.pieces:  # an emoji, three dots: nothing to say, and nothing wrong with that
                    out.event(job.id, SpeechFinished(0, 0.0))
                    del self._speaking[job.id]
        elif self._speaking:
            first = min(self._speaking.values(), key=lambda waiting: (waiting.done, waiting.order))
            first.whose.run(self._speak, first, out)

    def recover(self, out: Outbox) -> None:
        for id in list(self._speaking):
            self._end(id, InternalError.unforeseen(), out)
        mx.clear_cache()

    def memory(self) -> Memory:
        return Memory(
            active=mx.get_active_memory(), peak=mx.get_peak_memory(), cache=mx.get_cache_memory(), prefix_cache=0
        )

    def _expire(self, out: Outbox) -> None:
        now = time.monotonic()
        for id, speaking in list(self._speaking.items()):
            deadline = speaking.job.deadline
            if deadline is not None and now >= deadline:
                late = GenerationTimeout("the speech took longer than the request's timeout", param="timeout")
                self._end(id, late, out)

    def _end(self, id: str, error: ServiceError, out: Outbox) -> None:
        out.fail(id, error)
        del self._speaking[id]

    def _speak(self, speaking: _Speaking, out: Outbox) -> None:
        job, started = speaking.job, time.monotonic()
        speaking.started = speaking.started or started
        piece = job.pieces[speaking.done]
        try:
            timed = self._spoken(piece, job.voices, job.speed, speaking.done)
        except Exception:
            logger.exception("a piece of request %s cannot be spoken", job.id)
            self._end(job.id, InternalError.unforeseen(), out)
            return
        phonemes, words = timed.after(speaking.samples)
        now = time.monotonic()
        out.event(job.id, SpeechPiece(piece.text, _pcm(timed.samples), phonemes, words, now - started))
        speaking.done += 1
        speaking.samples += len(timed.samples)
        if speaking.done == len(job.pieces):
            out.event(job.id, SpeechFinished(speaking.samples, now - speaking.started))
            del self._speaking[job.id]

    def _spoken(self, piece: Piece, voices: list[tuple[str, float]], speed: float, number: int) -> Timed:
        """The same samples whenever it is asked for the same: the noise is seeded by the piece's number."""
        symbols, owners = piece.symbols
        tokens = [self._vocabulary[symbol] for symbol in symbols]
        style = self._voices.style(voices, len(tokens))
        spoken = self._kokoro.speak(tokens, style, speed=speed, seed=number)
        words = [chunk.word for chunk in piece.chunks]
        timed = time_piece(spoken.samples, spoken.frames, symbols, owners, words)
        return trimmed(timed, rest=_REST_SAMPLES if piece.ends_sentence else _CLAUSE_REST_SAMPLES)


def _refuse_unsupported(spec: ModelSpec) -> None:
    if spec.quantize is not None:
        raise EngineLoadError("quantize: speech models run as they are; they cannot be quantised")
    if spec.dtype not in ("auto", "float32"):
        raise EngineLoadError(f"dtype: speech models run in float32, not in {spec.dtype}")


def _pcm(samples: NDArray[np.float32]) -> bytes:
    """16-bit little-endian; what is louder than full scale is clipped."""
    return (np.clip(samples, -1.0, 1.0) * 32767.0).round().astype("<i2").tobytes()
