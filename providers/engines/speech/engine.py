"""The engine of speech models: Kokoro. A step synthesises one piece, of the request that has the least sound so far."""

from __future__ import annotations

import time

import attrs
import numpy as np
from numpy.typing import NDArray

from providers.engines.process.base import Loaded
from providers.engines.process.engine import EngineLoadError, Outbox, Progress
from providers.engines.process.platform import Platform
from providers.engines.process.turns import TurnEngine, Work
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
from providers.spec import ModelSpec
from providers.speech.types import SAMPLE_RATE, SpeechAccepted, SpeechFinished, SpeechPiece, SpeechRequest
from providers.speech.voices import voices_in

__all__ = ["SpeechEngine"]

_WARMUP = "Hello there."


@attrs.define(eq=False, kw_only=True)
class _Speaking(Work[Script]):
    """A script that is read aloud."""

    order: int
    line: Line | None = None
    """What is being spoken."""
    sentence: Sentence | None = None
    """The line, as far as it is decoded; None before it is begun."""
    begun: int = 0
    """Count of sentences."""
    samples: int = 0
    playback: Playback = attrs.field(factory=Playback)
    started: float = 0.0


class SpeechEngine(TurnEngine[Script, _Speaking]):
    """Implements `Engine` for folders that mlx-audio loads as Kokoro."""

    REQUESTS = (SpeechRequest,)
    NOUN = "a speech model"
    DOES = "synthesizes speech"
    FREED_BYTES = 256 << 20

    def __init__(self, prepared: Platform) -> None:
        super().__init__(prepared)
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

    def _begin(self, job: Script) -> _Speaking:
        self._submitted += 1
        return _Speaking(job=job, order=self._submitted)

    def _accepted(self, job: Script) -> SpeechAccepted:
        return SpeechAccepted(None, job.characters, job.unspoken)

    def _next(self) -> _Speaking:
        return min(self._works.values(), key=lambda waiting: (waiting.samples, waiting.order))

    def _advance(self, speaking: _Speaking, out: Outbox) -> None:
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
            del self._works[job.id]

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
        factor = self._pace.factor * len(self._works)
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
