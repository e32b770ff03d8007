"""The language-model engine: continuous batching on mlx-lm's BatchGenerator."""

from __future__ import annotations

import itertools
import logging
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import attrs
import mlx.core as mx
from mlx_lm.generate import BatchGenerator
from mlx_lm.models.cache import can_trim_prompt_cache, make_prompt_cache

from providers.engines import platform
from providers.engines.engine import EngineLoadError, Outbox, Progress
from providers.engines.grammar import BatchTokens
from providers.engines.intake import Intake
from providers.engines.jobs import LanguageJob
from providers.engines.loading import LoadedModel, load_language_model
from providers.engines.platform import Platform
from providers.engines.prefix_cache import PrefixCache
from providers.engines.rows import Row
from providers.engines.sampling import make_processors
from providers.errors import GenerationTimeout, InternalError, InvalidRequest, ServiceError
from providers.frames import Command, EngineInfo, Generate, Memory
from providers.generation import Accepted
from providers.spec import ModelSpec

__all__ = ["LanguageEngine"]

logger = logging.getLogger(__name__)

PREFILL_STEP = {"cpu": 256, "metal": 2048, "cuda": 2048}
"""Prompt tokens a step: everybody else waits for one chunk, so a slow device gets small ones."""
WARMUP_TOKENS = 2
_UNFORESEEN = "an internal error occurred"


@attrs.define
class _Housekeeping:
    """What a step leaves to do once its events are on their way."""

    keep: list[tuple[list[int], list[Any]]] = attrs.field(factory=list)
    remove: list[int] = attrs.field(factory=list)


class LanguageEngine:
    """Implements `engine.Engine` for `--model-type lm`."""

    def __init__(self, prepared: Platform) -> None:
        self._platform = prepared
        self._rows: dict[int, Row] = {}
        self._uids: dict[str, int] = {}
        self._waiting: deque[LanguageJob] = deque()

    # ── loading ─────────────────────────────────────────────────────────────────────────────────────────────

    def load(self, spec: ModelSpec, progress: Progress) -> EngineInfo:
        started = time.monotonic()
        device = _device()
        if spec.memory_limit is not None:
            mx.set_memory_limit(spec.memory_limit)
        loaded = load_language_model(spec, device, progress)
        self.attach(loaded, spec, device)
        if spec.warmup:
            progress("warming up", None)
            self._warm_up()
        mx.clear_cache()
        mx.reset_peak_memory()
        return EngineInfo(
            context_length=self._limit,
            device=device,
            dtype=loaded.dtype,
            blas=self._platform.blas if device == "cpu" else "-",
            load_seconds=time.monotonic() - started,
            memory_bytes=mx.get_active_memory(),
            details={
                "blas_threads": self._platform.threads,
                "dtype_reason": loaded.dtype_reason,
                "model_type": str(loaded.config.get("model_type")),
                "prefix_cache_bytes": self._prefix_bytes,
                "vocabulary": self._vocabulary_size,
            },
        )

    def attach(self, loaded: LoadedModel, spec: ModelSpec, device: str) -> None:
        """Take a loaded model into service; `load` without the loading and the warm-up.

        Raises:
            EngineLoadError: this architecture's cache cannot be batched, or the spec names an unknown parser.
        """
        self._model = loaded.model
        self._tokenizer = loaded.tokenizer
        self._defaults: Mapping[str, Any] = loaded.generation_defaults
        self._max_rows = spec.max_concurrency
        self._prefill_step = PREFILL_STEP[device]
        layers = make_prompt_cache(loaded.model)
        if not all(hasattr(layer, "merge") for layer in layers):
            raise EngineLoadError(f"models of type {loaded.config.get('model_type')!r} cannot be batched by mlx-lm")
        self._limit = min(spec.context_length, _model_context(loaded.config) or spec.context_length)
        self._vocabulary_size = _usable_vocabulary(loaded)
        self._intake = Intake(
            loaded.tokenizer,
            spec,
            defaults=self._defaults,
            limit=self._limit,
            vocabulary=self._vocabulary_size,
            trimmable=can_trim_prompt_cache(layers),
        )
        self._text = self._intake.text
        self._prefix_bytes = _prefix_cache_bytes(spec)
        self._prefixes = PrefixCache(self._prefix_bytes)
        mx.set_cache_limit(min(2 << 30, platform.total_memory() // 16))
        self._generator = self._new_generator()

    def _new_generator(self) -> Any:
        generator: Any = BatchGenerator(
            self._model,
            stop_tokens=[[token] for token in sorted(self._tokenizer.eos_token_ids)],
            completion_batch_size=self._max_rows,
            prefill_batch_size=min(8, self._max_rows),
            prefill_step_size=self._prefill_step,
        )
        self._fed = BatchTokens(generator)
        return generator

    def _warm_up(self) -> None:
        """Generate a few tokens, joined by a second row midway: every kernel of a batch runs once."""
        prompt = [0] * min(32, self._limit - 1)
        generator = self._generator
        generator.insert([prompt], max_tokens=[WARMUP_TOKENS * 2])
        for _ in range(WARMUP_TOKENS):
            generator.next()
        if self._max_rows > 1:
            generator.insert([prompt[:5]], max_tokens=[WARMUP_TOKENS])
        while any(generator.next()):
            pass

    # ── intake thread ───────────────────────────────────────────────────────────────────────────────────────

    def prepare(self, command: Command) -> LanguageJob:
        if not isinstance(command, Generate):
            raise InvalidRequest("a language model generates text, nothing else")
        return self._intake.job(command.request)

    # ── MLX thread ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def busy(self) -> bool:
        return bool(self._rows or self._waiting)

    def submit(self, job: LanguageJob) -> None:
        self._waiting.append(job)

    def cancel(self, request_id: str) -> None:
        uid = self._uids.get(request_id)
        if uid is not None:
            self._drop([uid])
        else:
            self._waiting = deque(job for job in self._waiting if job.id != request_id)

    def step(self, out: Outbox) -> None:
        self._expire(out)
        self._admit(out)
        if not self._rows:
            return
        prompted, generated = self._generator.next()
        todo = _Housekeeping()
        now = time.monotonic()
        for response in generated:
            self._advance(response, now, out, todo)
        # The device already computes the next step: from here on, nothing is on the decode path.
        out.flush()
        for tokens, cache in todo.keep:
            self._keep(tokens, cache)
        if todo.remove:
            self._remove(todo.remove)
        self._keep_prompts([r.uid for r in prompted if r.end_of_segment and not r.end_of_prompt])

    def recover(self, out: Outbox) -> None:
        # With no row to blame, what waits is to blame: left there, it would break every step to come.
        doomed = [row.job for row in self._rows.values()] or list(self._waiting)
        if not self._rows:
            self._waiting.clear()
        for job in doomed:
            out.fail(job.id, InternalError(_UNFORESEEN))
        self._rows.clear()
        self._uids.clear()
        self._generator = self._new_generator()
        mx.clear_cache()

    def memory(self) -> Memory:
        return Memory(
            active=mx.get_active_memory(),
            peak=mx.get_peak_memory(),
            cache=mx.get_cache_memory(),
            prefix_cache=self._prefixes.nbytes,
        )

    def _expire(self, out: Outbox) -> None:
        now = time.monotonic()
        late = [row.uid for row in self._rows.values() if row.job.deadline is not None and now >= row.job.deadline]
        for uid in late:
            out.fail(self._rows[uid].job.id, _timed_out())
        if late:
            self._drop(late)
        overdue = [job for job in self._waiting if job.deadline is not None and now >= job.deadline]
        for job in overdue:
            self._waiting.remove(job)
            out.fail(job.id, _timed_out())

    def _admit(self, out: Outbox) -> None:
        while self._waiting and len(self._rows) < self._max_rows:
            job = self._waiting.popleft()
            try:
                row = self._insert(job)
            except Exception:
                logger.exception("request %s failed as it entered the batch", job.id)
                out.fail(job.id, InternalError(_UNFORESEEN))
                continue
            self._rows[row.uid] = row
            self._uids[job.id] = row.uid
            out.event(job.id, Accepted(prompt_tokens=len(job.tokens), cached_tokens=row.cached_tokens))
        out.flush()

    def _insert(self, job: LanguageJob) -> Row:
        cache, cached = self._prefixes.fetch(job.tokens)
        cuts = [cached, *(cut for cut in job.boundaries if cut > cached), len(job.tokens)]
        row = self._new_row(job, 0)
        row.cached_tokens = cached
        (row.uid,) = self._generator.insert_segments(
            [[job.tokens[start:end] for start, end in itertools.pairwise(cuts)]],
            max_tokens=[job.max_tokens],
            caches=[cache],
            all_tokens=[job.tokens[:cached]],
            samplers=[row.sampler],
            logits_processors=[row.processors],
        )
        row.follow(self._fed)
        return row

    def _new_row(self, job: LanguageJob, index: int) -> Row:
        return Row.of(job, index, self._text, make_processors(job.sampling, self._defaults))

    def _advance(self, response: Any, now: float, out: Outbox, todo: _Housekeeping) -> None:
        row = self._rows.get(response.uid)
        if row is None:
            return
        try:
            for event in row.take(response.token, response.finish_reason, now):
                out.event(row.job.id, event)
        except ServiceError as error:
            self._fail(row, error, out)
        except Exception:
            logger.exception("request %s failed", row.job.id)
            self._fail(row, InternalError(_UNFORESEEN), out)
        if row.ended:
            self._forget(row)
            if response.finish_reason is None:
                todo.remove.append(row.uid)
            else:
                todo.keep.append((response.all_tokens, response.prompt_cache))

    @staticmethod
    def _fail(row: Row, error: ServiceError, out: Outbox) -> None:
        out.fail(row.job.id, error)
        row.ended = True

    def _forget(self, row: Row) -> None:
        self._rows.pop(row.uid, None)
        self._uids.pop(row.job.id, None)

    def _drop(self, uids: list[int]) -> None:
        """Take rows out of the batch before they finished, keeping what they had computed."""
        for uid in uids:
            self._forget(self._rows[uid])
        self._remove(uids)

    def _remove(self, uids: list[int]) -> None:
        with mx.stream(self._generator.stream):
            for cache, tokens in self._generator.remove(uids, return_prompt_caches=True).values():
                self._keep(tokens, cache)

    def _keep_prompts(self, uids: list[int]) -> None:
        """Keep prompts, or parts of them up to a boundary, as soon as they are computed: the next turn of the
        same conversation may come before this one ends."""
        if not uids or self._prefix_bytes <= 0:
            return
        with mx.stream(self._generator.stream):
            for uid, (cache, tokens) in self._generator.extract_cache(uids).items():
                row = self._rows.get(uid)
                inside = row is not None and len(tokens) < len(row.job.tokens) - 1
                self._keep(tokens, cache, kind="system" if inside else "user")

    def _keep(self, tokens: list[int], cache: list[Any], kind: str = "assistant") -> None:
        try:
            with mx.stream(self._generator.stream):
                self._prefixes.insert(tokens, cache, kind=kind)
        except Exception:
            logger.exception("a prefix could not be kept; the prefix cache is emptied")
            self._prefixes.clear()


def _timed_out() -> GenerationTimeout:
    return GenerationTimeout("the answer took longer than the request's timeout", param="timeout")


def _device() -> str:
    if mx.default_device() == mx.cpu:
        return "cpu"
    return "metal" if mx.metal.is_available() else "cuda"


def _model_context(config: Mapping[str, Any]) -> int | None:
    """The model's own limit in tokens, under the names that configs use; None where they tell none."""
    text = config.get("text_config")
    for part in (config, text if isinstance(text, Mapping) else {}):
        for name in ("max_position_embeddings", "max_seq_len", "n_positions", "seq_length"):
            value = part.get(name)
            if isinstance(value, int) and value > 0:
                return value
    return None


def _usable_vocabulary(loaded: LoadedModel) -> int:
    """Ids that both the tokenizer knows and the logits have: either may be the wider."""
    tokens: int = max(loaded.tokenizer.get_vocab().values(), default=0) + 1
    text = loaded.config.get("text_config")
    for part in (loaded.config, text if isinstance(text, Mapping) else {}):
        width = part.get("vocab_size")
        if isinstance(width, int):
            return min(tokens, width)
    return tokens


def _prefix_cache_bytes(spec: ModelSpec) -> int:
    """The spec's bound, or an eighth of the memory this model may use."""
    if spec.prefix_cache_bytes is not None:
        return max(0, spec.prefix_cache_bytes)
    return (spec.memory_limit or platform.available_memory()) // 8
