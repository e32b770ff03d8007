"""The embedding engine: one batch of like lengths a step, from whatever requests are there."""

from __future__ import annotations

import logging
import time
from contextvars import Context, copy_context
from typing import Any, ClassVar

import attrs
import mlx.core as mx
import numpy as np

from providers.embeddings.types import Embedded, EmbeddingRequest, Ranked, RerankRequest, Vectors
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
from providers.engines.embeddings.encoder import load_encoder
from providers.engines.embeddings.intake import EmbeddingIntake, EmbeddingJob
from providers.engines.embeddings.length_batching import RowPool
from providers.engines.process.engine import Outbox, Progress
from providers.engines.process.platform import Platform
from providers.engines.process.weights import mlx_device
from providers.errors import InternalError, InvalidRequest
from providers.spec import ModelSpec

__all__ = ["EmbeddingEngine"]

logger = logging.getLogger(__name__)

STEP_FLOPS = {"cpu": 1.5e10, "metal": 2e12, "cuda": 2e13}
"""Work of one step, a fraction of a second of it: cancellation takes effect between steps."""
STEP_TOKENS = (256, 16_384)
"""Bounds of it in tokens: the least that keeps the matrix products large, and the most that keeps memory small."""

Floats = np.ndarray[Any, np.dtype[np.float32]]


@attrs.define(eq=False)
class _Work:
    """A job under way."""

    job: EmbeddingJob
    unfinished: int
    results: Floats | None
    """Of every row, where the answer needs them together."""
    started: float | None = None
    whose: Context = attrs.field(factory=copy_context)
    """For log lines: whose work it is."""


class EmbeddingEngine:
    """Implements `engine.Engine` for `--model-type embeddings`."""

    gathers: ClassVar[float] = 0.0

    def __init__(self, prepared: Platform) -> None:
        self._platform = prepared
        self._work: dict[str, _Work] = {}
        self._running: set[str] = set()

    # ── loading ─────────────────────────────────────────────────────────────────────────────────────────────

    def load(self, spec: ModelSpec, progress: Progress) -> EngineInfo:
        started = time.monotonic()
        device = mlx_device()
        if spec.memory_limit is not None:
            mx.set_memory_limit(spec.memory_limit)
        self._encoder = encoder = load_encoder(spec, device, progress)
        progress("warming up", None)
        probe = encoder.encode([[0, 1]], [1])
        tokens = _step_tokens(encoder.parameters, device)
        if spec.warmup:
            length = min(16, encoder.limit)
            encoder.encode([[1] * length] * max(1, tokens // length), [length] * max(1, tokens // length))
        self._rows = RowPool(tokens)
        self._intake = EmbeddingIntake(
            encoder.tokenizer,
            spec,
            limit=encoder.limit,
            vocabulary=encoder.vocabulary,
            dimensions=probe.shape[1],
            matryoshka=encoder.matryoshka,
            prompts=dict(encoder.prompts),
            cross_encoder=encoder.cross_encoder,
        )
        mx.clear_cache()
        mx.reset_peak_memory()
        return EngineInfo(
            context_length=encoder.limit,
            device=device,
            dtype=encoder.dtype,
            blas=self._platform.blas if device == "cpu" else "-",
            load_seconds=time.monotonic() - started,
            memory_bytes=mx.get_active_memory(),
            details={
                "blas_threads": self._platform.threads,
                "dtype_reason": encoder.dtype_reason,
                "model_type": str(encoder.config.get("model_type")),
                "cross_encoder": encoder.cross_encoder,
                "dimensions": probe.shape[1],
                "step_tokens": tokens,
            },
        )

    # ── intake thread ───────────────────────────────────────────────────────────────────────────────────────

    def prepare(self, command: Command) -> EmbeddingJob:
        request = command.request if isinstance(command, Generate) else None
        if isinstance(request, EmbeddingRequest):
            return self._intake.embedding(request)
        if isinstance(request, RerankRequest):
            return self._intake.ranking(request)
        raise InvalidRequest("an embedding model embeds and ranks, nothing else")

    def answer(self, question: Tokenize | Detokenize) -> Tokenized | Detokenized:
        raise InvalidRequest("an embedding model answers no questions about tokens")

    # ── MLX thread ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def busy(self) -> bool:
        return len(self._rows) > 0

    def submit(self, job: EmbeddingJob) -> None:
        together = job.kind != "embed"
        results = np.empty((len(job.rows), job.dimensions), np.float32) if together else None
        self._work[job.id] = _Work(job, len(job.rows), results)
        self._rows.add(job.id, [*map(len, job.rows)])

    def cancel(self, request_id: str) -> None:
        self._rows.remove(request_id)
        self._work.pop(request_id, None)

    def step(self, out: Outbox) -> None:
        now = time.monotonic()
        batch = self._rows.next_batch()
        parts: dict[str, list[int]] = {}
        for request_id, index in batch:
            parts.setdefault(request_id, []).append(index)
        self._running = set(parts)
        jobs = [(self._work[request_id].job, index) for request_id, index in batch]
        vectors = self._encoder.encode(
            [job.rows[index] for job, index in jobs], [job.seconds[index] for job, index in jobs]
        )
        row = 0
        for request_id, indexes in parts.items():
            work = self._work[request_id]
            work.started = now if work.started is None else work.started
            work.whose.run(self._collect, work, indexes, vectors[row : row + len(indexes)], out)
            row += len(indexes)

    def recover(self, out: Outbox) -> None:
        for request_id in self._running:
            self.cancel(request_id)
            out.fail(request_id, InternalError.unforeseen())
        self._running = set()
        mx.clear_cache()

    def memory(self) -> Memory:
        return Memory(
            active=mx.get_active_memory(), peak=mx.get_peak_memory(), cache=mx.get_cache_memory(), prefix_cache=0
        )

    def _collect(self, work: _Work, indexes: list[int], vectors: Floats, out: Outbox) -> None:
        job = work.job
        if not np.isfinite(vectors).all():
            logger.error("request %s: the model gave numbers that are not finite; try --dtype float32", job.id)
            self.cancel(job.id)
            out.fail(job.id, InternalError.unforeseen())
            return
        if work.results is not None:
            work.results[indexes] = vectors
        else:
            out.event(job.id, Vectors(indexes, _bytes(_cut(vectors, job.dimensions))))
        work.unfinished -= len(indexes)
        if not work.unfinished:
            out.event(job.id, _end(work))
            del self._work[job.id]


def _end(work: _Work) -> Embedded | Ranked:
    job = work.job
    assert work.started is not None
    seconds = time.monotonic() - work.started
    if work.results is None:
        return Embedded(job.dimensions, job.tokens, seconds)
    scores = work.results[:, 0] if job.kind == "score" else work.results[1:] @ work.results[0]
    return Ranked(_bytes(scores), job.kind == "score", job.tokens, seconds)


def _cut(vectors: Floats, dimensions: int) -> Floats:
    """The first so many numbers of each vector, at length one again."""
    if vectors.shape[1] == dimensions:
        return vectors
    cut = vectors[:, :dimensions]
    made: Floats = cut / np.maximum(np.linalg.norm(cut, axis=1, keepdims=True), np.float32(1e-12))
    return made


def _bytes(values: Floats) -> bytes:
    return values.astype("<f4", copy=False).tobytes()


def _step_tokens(parameters: int, device: str) -> int:
    least, most = STEP_TOKENS
    return int(min(most, max(least, STEP_FLOPS[device] / (2 * parameters))))
