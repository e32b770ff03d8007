"""The embedding engine: one batch of similar lengths per step, from all requests that wait."""

from __future__ import annotations

import logging
import time
from contextvars import Context, copy_context
from typing import Any

import attrs
import mlx.core as mx
import numpy as np

from providers.embeddings.types import Embedded, EmbeddingRequest, Ranked, RerankRequest, Vectors
from providers.engine_host.frames import Answer, Locate, Located, Question
from providers.engines.embeddings.encoder import load_encoder
from providers.engines.embeddings.intake import EmbeddingIntake, EmbeddingJob
from providers.engines.embeddings.length_batching import RowPool
from providers.engines.process.base import BaseEngine, Loaded, as_service_error, failure_of
from providers.engines.process.engine import Outbox, Progress
from providers.engines.process.platform import Platform
from providers.errors import InternalError
from providers.spec import ModelSpec

__all__ = ["EmbeddingEngine"]

logger = logging.getLogger(__name__)

STEP_FLOPS = {"cpu": 1.5e10, "metal": 2e12, "cuda": 2e13}
"""Floating-point operations per step, a fraction of a second: cancellation takes effect between steps."""
STEP_TOKENS = (256, 16_384)
"""Bounds of a step in tokens: the least that keeps the matrix products large, and the most that keeps memory small."""

Floats = np.ndarray[Any, np.dtype[np.float32]]


@attrs.define(eq=False)
class _Work:
    """A job in progress."""

    job: EmbeddingJob
    unfinished: int
    results: Floats | None
    """The vector or score of every row, if the result needs all of them; else None."""
    started: float | None = None
    context: Context = attrs.field(factory=copy_context)
    """The request's context, for log lines."""


class EmbeddingEngine(BaseEngine[EmbeddingJob]):
    """Implements `Engine` for `--model-type embeddings`."""

    REQUESTS = (EmbeddingRequest, RerankRequest)
    NOUN = "an embedding model"
    DOES = "embeds and ranks"

    def __init__(self, prepared: Platform) -> None:
        super().__init__(prepared)
        self._work: dict[str, _Work] = {}
        self._running: list[tuple[str, int]] = []
        """The batch that the encoder has: request ids and rows."""

    # ── loading ─────────────────────────────────────────────────────────────────────────────────────────────

    def _load(self, spec: ModelSpec, device: str, progress: Progress) -> Loaded:
        self._encoder = encoder = load_encoder(spec, device, progress)
        progress("warming up", None)
        dimensions = encoder.encode([[0, 1]], [1]).shape[1]
        self._step_tokens = _step_tokens(encoder.parameters, device)
        self._rows = RowPool(self._step_tokens)
        self._intake = EmbeddingIntake(
            encoder.tokenizer,
            spec,
            limit=encoder.limit,
            vocabulary=encoder.vocabulary,
            dimensions=dimensions,
            matryoshka=encoder.matryoshka,
            prompts=dict(encoder.prompts),
            cross_encoder=encoder.cross_encoder,
        )
        return Loaded(
            model_type=str(encoder.config.get("model_type")),
            dtype=encoder.dtype,
            context_length=encoder.limit,
            details={
                "dtype_reason": encoder.dtype_reason,
                "cross_encoder": encoder.cross_encoder,
                "dimensions": dimensions,
                "step_tokens": self._step_tokens,
            },
        )

    def _warm_up(self) -> None:
        length = min(16, self._encoder.limit)
        rows = max(1, self._step_tokens // length)
        self._encoder.encode([[1] * length] * rows, [length] * rows)

    # ── intake thread ───────────────────────────────────────────────────────────────────────────────────────

    def _job(self, request: EmbeddingRequest | RerankRequest) -> EmbeddingJob:
        return self._intake.ranking(request) if isinstance(request, RerankRequest) else self._intake.embedding(request)

    def answer(self, question: Question) -> Answer:
        if not isinstance(question, Locate):
            return super().answer(question)
        return Located(question.id, *self._intake.places(question.text))

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
        batch = self._running = self._rows.next_batch()
        parts: dict[str, list[int]] = {}
        for request_id, index in batch:
            parts.setdefault(request_id, []).append(index)
        jobs = [(self._work[request_id].job, index) for request_id, index in batch]
        vectors = self._encoder.encode(
            [job.rows[index] for job, index in jobs], [job.seconds[index] for job, index in jobs]
        )
        self._running = []
        row = 0
        for request_id, indexes in parts.items():
            work = self._work[request_id]
            work.started = now if work.started is None else work.started
            work.context.run(self._take, work, indexes, vectors[row : row + len(indexes)], out)
            row += len(indexes)

    def recover(self, out: Outbox, error: BaseException) -> None:
        """Put the rows of the batch back, to be tried in smaller batches. A row that fails in a batch of its own ends
        its request.
        """
        batch, self._running = self._running, []
        if len(batch) > 1:
            self._rows.put_back(batch)
        else:
            blamed = batch[0][0] if batch else next(reversed(self._work))
            self.cancel(blamed)
            out.fail(blamed, failure_of(error))
        mx.clear_cache()

    def _take(self, work: _Work, indexes: list[int], vectors: Floats, out: Outbox) -> None:
        try:
            self._collect(work, indexes, vectors, out)
        except Exception as error:
            self.cancel(work.job.id)
            out.fail(work.job.id, as_service_error(error, work.job.id))

    def _collect(self, work: _Work, indexes: list[int], vectors: Floats, out: Outbox) -> None:
        job = work.job
        if not np.isfinite(vectors).all():
            logger.error("request %s: the model computed numbers that are not finite; try --dtype float32", job.id)
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
    """The first `dimensions` numbers of each vector, scaled to length 1."""
    if vectors.shape[1] == dimensions:
        return vectors
    cut = vectors[:, :dimensions]
    made = cut / np.maximum(np.linalg.norm(cut, axis=1, keepdims=True), np.float32(1e-12))
    scaled: Floats = made.astype(np.float32, copy=False)
    return scaled


def _bytes(values: Floats) -> bytes:
    return values.astype("<f4", copy=False).tobytes()


def _step_tokens(parameters: int, device: str) -> int:
    least, most = STEP_TOKENS
    return int(min(most, max(least, STEP_FLOPS[device] / (2 * parameters))))
