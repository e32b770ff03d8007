"""The outputs that a new batch generates before requests come. Only for the MLX thread.

A GPU builds a kernel when it first needs it: CUDA takes 6 s for those of prompts of several lengths. So every kind of
step that requests can cause happens once: prompts alone and together, with a kept beginning and without, of several
lengths, added to a batch and removed from it, with every setting of the sampler, and with a grammar's mask.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np

from providers.chat.types import SamplingParams
from providers.engines.sampling.logprobs import LogprobRecorder
from providers.engines.sampling.samplers import make_sampler
from providers.engines.sampling.settings import make_processors, resolve

__all__ = ["MIXTURE", "build_kernels", "touch"]

TOKENS = 2
PROMPT = 32
MIXTURE = (
    SamplingParams(temperature=0.0),
    SamplingParams(temperature=0.7),
    SamplingParams(temperature=1.0, top_p=0.9, repetition_penalty=1.1, repetition_context_size=16),
    SamplingParams(temperature=1.0, top_k=20, presence_penalty=0.5, frequency_penalty=0.5),
    SamplingParams(temperature=1.0, min_p=0.05, logit_bias={1: 1.0}),
    SamplingParams(temperature=1.0, xtc_probability=0.5, xtc_threshold=0.1),
    SamplingParams(temperature=0.8, top_p=0.95, top_k=40, min_p=0.02, seed=1),
    SamplingParams(temperature=0.0, repetition_penalty=1.2, frequency_penalty=0.1, logit_bias={2: -1.0}),
)
"""Settings of a batch: every field is in one of them."""
_TOP_LOGPROBS = {1: 5, 2: 20}
"""By place in `MIXTURE`."""


def touch(generator: Any) -> None:
    """Generate one token. A CPU has no kernels to build: this loads libraries and touches buffers."""
    generator.insert([[0]], max_tokens=[1])
    _run(generator)


def build_kernels(generator: Any, *, slots: int, limit: int, vocabulary: int, in_one_pass: bool) -> None:
    """Generate a few tokens in every kind of step.

    Args:
        limit: the most tokens of a sequence.
        vocabulary: count of ids.
        in_one_pass: whether prompts are computed with the first token of their answer.
    """

    def insert(prompt: list[int], tokens: int, **options: Any) -> None:
        uids = generator.insert([prompt], max_tokens=[tokens], **options)
        if in_one_pass:
            generator.in_one_pass(uids[0])

    prompt = [0] * max(1, min(PROMPT, limit - 4 * TOKENS))
    insert(prompt, 2 * TOKENS)
    for _ in range(TOKENS):
        generator.next()
    if slots > 1:
        insert(prompt[:5], TOKENS)
    cache, kept = _run(generator)
    # A later turn: a prompt behind what is kept.
    insert(prompt[:3], TOKENS, caches=[cache], all_tokens=[kept])
    _run(generator)
    if slots < 2:
        return
    rows = min(len(MIXTURE), slots)
    for number, params in enumerate(MIXTURE[:rows]):
        sampler: Any = make_sampler(resolve(params, {}, vocabulary=vocabulary), params.seed)
        processors: list[Any] = [*make_processors(params, {})]
        if number in _TOP_LOGPROBS:
            sampler = LogprobRecorder(sampler, None, _TOP_LOGPROBS[number])  # type: ignore[arg-type]
        if number == rows - 1:
            processors.append(_allow_all)
        insert(prompt[number:] or prompt, TOKENS + number % 3, samplers=[sampler], logits_processors=[processors])
    _run(generator)


def _allow_all(tokens: mx.array, logits: mx.array) -> mx.array:
    """A grammar's mask that allows every token."""
    return mx.where(mx.array(np.ones((1, logits.shape[-1]), dtype=np.bool_)), logits, -mx.inf)


def _run(generator: Any) -> tuple[list[Any] | None, list[int]]:
    """Step until every output has ended. Returns the cache of the last one, and its tokens."""
    cache: list[Any] | None = None
    kept: list[int] = []
    while True:
        prompted, generated = generator.next()
        for response in generated:
            if response.finish_reason is not None:
                cache, kept = response.prompt_cache(), response.all_tokens
        if not prompted and not generated:
            return cache, kept
