"""Plans of batches that have no model, and the logits that they get."""

from __future__ import annotations

from typing import Any, cast

import mlx.core as mx
import msgspec

from providers.chat.types import SamplingParams
from providers.engines.sampling.batched_step import DecodingBatch
from providers.engines.sampling.samplers import make_sampler
from providers.engines.sampling.settings import Settings
from tests.unit.providers.engines import tiny

VOCABULARY = 300
ROWS = {
    "greedy": SamplingParams(temperature=0.0),
    "warm": SamplingParams(temperature=1.4),
    "nucleus": SamplingParams(temperature=1.2, top_p=0.7),
    "likely": SamplingParams(temperature=1.2, min_p=0.05),
    "few": SamplingParams(temperature=1.5, top_k=9, top_p=0.9, min_p=0.01),
    "some": SamplingParams(temperature=1.5, top_k=120),
    "no top choice": SamplingParams(temperature=1.1, xtc_probability=0.5, xtc_threshold=0.02),
    "not again": SamplingParams(temperature=0.0, repetition_penalty=1.8, repetition_context_size=5),
    "counted": SamplingParams(temperature=0.9, frequency_penalty=1.5, presence_penalty=0.5),
    "everything": SamplingParams(
        temperature=1.3, top_p=0.95, repetition_penalty=1.3, frequency_penalty=0.4, logit_bias={7: 3.0, 9: -100.0}
    ),
    "biased": SamplingParams(temperature=0.0, logit_bias={11: 0.8}),
    "long memory": SamplingParams(temperature=0.0, repetition_penalty=1.2, repetition_context_size=1000),
}


def seeded(number: int, params: SamplingParams) -> SamplingParams:
    return msgspec.structs.replace(params, seed=number, logit_bias={**(params.logit_bias or {}), tiny.END: -100.0})


def random_logits(rows: int, step: int) -> mx.array:
    return mx.random.normal((rows, VOCABULARY), key=mx.random.key(step)) * 3


def tokens_of(plan: Any, fed: mx.array, logits: mx.array) -> list[int]:
    """The tokens that a step draws."""
    tokens = plan(fed, logits)
    mx.eval(plan.state)
    plan.settle()
    found: list[int] = tokens.tolist()
    return found


class Fed:
    """The tokens of a sequence whose processors are called one by one."""

    def __init__(self) -> None:
        self.tokens = [1]

    def update_and_fetch(self, fed: mx.array) -> mx.array:
        self.tokens += cast("list[int]", fed.tolist())
        return mx.array(self.tokens)

    @property
    def state(self) -> mx.array:
        return mx.array(self.tokens)


class Batch:
    """What a plan reads of a batch."""

    reads_values = False

    def __init__(self, chains: list[Any], samplers: list[Any]) -> None:
        self.uids = [7 + row for row in range(len(chains))]
        self.logits_processors = chains
        self.samplers = samplers
        self.fallback_sampler = make_sampler(Settings(temperature=0.0), None)
        self.tokens = [[1, 2] for _ in chains]
        self.contexts = [Fed() for _ in chains]
        self.renewed: list[int] = []

    def renew_contexts(self, rows: list[int]) -> None:
        self.renewed += rows


def made_plan(chains: list[Any], samplers: list[Any]) -> tuple[Batch, Any]:
    batch = Batch(chains, samplers)
    return batch, DecodingBatch.make_plan(cast("DecodingBatch", batch))


def add_where_fed(tokens: mx.array, logits: mx.array) -> mx.array:
    """A processor of another library, which is called for its own sequence only."""
    return logits.at[:, tokens[-1:]].add(1.0)
