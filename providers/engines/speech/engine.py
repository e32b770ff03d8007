"""The engine of speech models: Kokoro. A step synthesises one piece, of the request that has the least sound so far."""

from __future__ import annotations

import time
from contextvars import Context, copy_context

import attrs
import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from providers.engines.process.base import (
    BaseEngine,
    Loaded,
    as_service_error,
    failure_of,
    is_late,
    release_arrays,
    timed_out,
)
from providers.engines.process.engine import EngineLoadError, Outbox, Progress
from providers.engines.process.platform import Platform
from providers.engines.process.weights import find_folder
from providers.engines.speech.intake import SpeechIntake
from providers.engines.speech.kokoro.model import load_kokoro
from providers.engines.speech.languages.readers import Readers
from providers.engines.speech.pacing import OVERHEAD, Pace, Playback
from providers.engines.speech.script import Line, Script, Scripts
from providers.engines.speech.segmentation import Piece
from providers.engines.speech.sentence import Part, Sentence
from providers.engines.speech.timing import Timed
from providers.engines.speech.voices import Voices
from providers.errors import ServiceError
from providers.spec import ModelSpec
from providers.speech.types import SAMPLE_RATE, SpeechAccepted, SpeechFinished, SpeechPiece, SpeechRequest
from providers.speech.voices import voices_in

__all__ = ["SpeechEngine"]

_WARMUP = "Hello there."


@attrs.define(eq=False)
class _Speaking:
    """A job in progress."""

    job: Script
    order: int
    accepted: bool = False
    line: Line | None = None
    """What is being spoken."""
    sentence: Sentence | None = None
    """The line, as far as it is decoded; None before it is begun."""
    begun: int = 0
    """Count of sentences."""
    samples: int = 0
    playback: Playback = attrs.field(factory=Playback)
    started: float = 0.0
    context: Context = attrs.field(factory=copy_context)
    """The request's context, for log lines."""


class SpeechEngine(BaseEngine[Script]):
    """Implements `Engine` for folders that mlx-audio loads as Kokoro."""

    REQUESTS = (SpeechRequest,)
    NOUN = "a speech model"
    DOES = "synthesizes speech"
    FREED_BYTES = 256 << 20

    def __init__(self, prepared: Platform) -> None:
        super().__init__(prepared)
        self._speaking: dict[str, _Speaking] = {}
        self._submitted = 0
        self._pace = Pace()

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
        self._intake = SpeechIntake(Readers(loaded.vocabulary), self._voices, loaded.vocabulary, spec.lexicon)
        self._scripts = Scripts(self._intake)
        voices = voices_in(folder, spoken=self._intake.languages)
        return Loaded(model_type="kokoro", dtype="float32", details={"sample_rate": SAMPLE_RATE, "voices": voices})

    def _warm_up(self) -> None:
        voice = next(iter(self._voices.ids))
        language = self._intake.languages[0]
        for piece in self._intake.pieces(_WARMUP, language):
            started = time.monotonic()
            part = self._prepared(piece, [(voice, 1.0)], 1.0, 0).whole(self._kokoro)
            self._pace.measured(time.monotonic() - started, len(part.timed.samples) / SAMPLE_RATE + OVERHEAD)

    # ── intake thread ───────────────────────────────────────────────────────────────────────────────────────

    def _job(self, request: SpeechRequest) -> Script:
        return self._scripts.write(request)

    # ── MLX thread ──────────────────────────────────────────────────────────────────────────────────────────

    def submit(self, job: Script) -> None:
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
                out.event(job.id, SpeechAccepted(None, job.characters, job.unspoken))
        elif self._speaking:
            first = min(self._speaking.values(), key=lambda waiting: (waiting.samples, waiting.order))
            first.context.run(self._take_turn, first, out)

    def recover(self, out: Outbox, error: BaseException) -> None:
        """Fail the newest request. A fault in the turn of a request does not get here: `_take_turn` ends that one."""
        if self._speaking:
            self._end(next(reversed(self._speaking)), failure_of(error), out)
        mx.clear_cache()

    def _expire(self, out: Outbox) -> None:
        now = time.monotonic()
        for id, speaking in list(self._speaking.items()):
            if is_late(speaking.job, now):
                self._end(id, timed_out(), out)

    def _end(self, id: str, error: ServiceError, out: Outbox) -> None:
        out.fail(id, error)
        del self._speaking[id]

    def _take_turn(self, speaking: _Speaking, out: Outbox) -> None:
        try:
            self._speak(speaking, out)
        except BaseException as error:  # a panic in native code is not an Exception
            self._end(speaking.job.id, as_service_error(error, speaking.job.id), out)
            release_arrays(error)

    def _speak(self, speaking: _Speaking, out: Outbox) -> None:
        job, started = speaking.job, time.monotonic()
        speaking.started = speaking.started or started
        line = speaking.line or next(job.lines, None)
        part = None if line is None else self._part(speaking, line)
        # Reads on now: the piece that is sent next should know whether it is the last.
        speaking.line = line if part is not None and not part.last else next(job.lines, None)
        now = time.monotonic()
        if line is not None and part is not None:
            self._send(speaking, part, line.turn, now - started, out)
        if speaking.line is None:
            out.event(job.id, SpeechFinished(speaking.samples, now - speaking.started, job.unspoken))
            del self._speaking[job.id]

    def _part(self, speaking: _Speaking, line: Line) -> Part:
        """The next part of a line."""
        piece = line.piece
        if not piece.symbols[0]:
            return Part(piece, Timed.silence(round((piece.rest or 0) * SAMPLE_RATE)), True)
        sentence = speaking.sentence
        if sentence is None:
            sentence = self._prepared(piece, line.voices, line.speed, speaking.begun)
            speaking.begun += 1
        started = time.monotonic()
        if not speaking.job.streamed:
            return sentence.whole(self._kokoro)
        factor = self._pace.factor * len(self._speaking)
        part = sentence.next(self._kokoro, speaking.playback.wanted(started, factor, sentence.left))
        self._pace.measured(time.monotonic() - started, len(part.timed.samples) / SAMPLE_RATE + OVERHEAD)
        speaking.sentence = None if part.last else sentence
        return part

    def _send(self, speaking: _Speaking, part: Part, turn: int | None, seconds: float, out: Outbox) -> None:
        piece, samples = part.piece, part.timed.samples
        phonemes, words = part.timed.after(speaking.samples)
        speaking.samples += len(samples)
        speaking.playback.add(time.monotonic(), len(samples) / SAMPLE_RATE)
        out.event(
            speaking.job.id,
            SpeechPiece(
                piece.text,
                _pcm(samples),
                phonemes,
                words,
                seconds,
                piece.start_char,
                piece.end_char,
                last=speaking.line is None,
                turn=turn,
            ),
        )

    def _prepared(self, piece: Piece, voices: list[tuple[str, float]], speed: float, number: int) -> Sentence:
        """A piece, ready to be decoded. Its number seeds the noise: equal arguments give equal samples."""
        tokens = [self._vocabulary[symbol] for symbol in piece.symbols[0]]
        style = self._voices.style(voices, len(tokens))
        return Sentence(piece, self._kokoro.prepare(tokens, style, speed=speed, seed=number))


def _refuse_unsupported(spec: ModelSpec) -> None:
    if spec.quantize is not None:
        raise EngineLoadError("quantize: speech models cannot be quantised")
    if spec.dtype not in ("auto", "float32"):
        raise EngineLoadError(f"dtype: speech models run in float32, not in {spec.dtype}")


def _pcm(samples: NDArray[np.float32]) -> bytes:
    """16-bit little-endian PCM. Samples beyond full scale are clipped."""
    return (np.clip(samples, -1.0, 1.0) * 32767.0).round().astype("<i2").tobytes()
