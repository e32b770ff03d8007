"""What a GPU generates before requests come covers every kind of step; here on the CPU, which generates one token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.utils import load_model

from providers.chat.types import SamplingParams
from providers.engines.language.warm_up import MIXTURE, build_kernels, touch
from providers.engines.process.mlx_lm_internals.prefill import OnePassGenerator
from providers.engines.sampling.batched_step import DecodingBatch
from tests.unit.providers.engines import tiny


class Watched(OnePassGenerator):
    """A generator that notes the shape of every pass, and the most sequences that decoded together."""

    def __init__(self, folder: Path, slots: int) -> None:
        model: Any = load_model(folder)[0]
        super().__init__(model, completion_batch_size=slots, prefill_batch_size=slots)
        self.decode_with(DecodingBatch)
        self.counts: list[int] = []

    def next(self) -> Any:
        responses = super().next()
        self.counts.append(len(self.decoding))
        return responses


def test_every_setting_of_a_sampler_occurs() -> None:
    for name in SamplingParams.__struct_fields__:
        assert any(getattr(params, name) is not None for params in MIXTURE), name


@pytest.mark.parametrize("in_one_pass", [True, False])
@pytest.mark.parametrize("slots", [1, 2, 32])
def test_a_batch_of_every_size_is_empty_afterwards(tmp_path: Path, slots: int, in_one_pass: bool) -> None:
    generator = Watched(tiny.write_folder(tmp_path), slots)
    build_kernels(generator, slots=slots, limit=256, vocabulary=200, in_one_pass=in_one_pass)
    assert max(generator.counts) == min(slots, len(MIXTURE))
    assert (len(generator.decoding), generator.prefilling, generator.queued) == (0, 0, 0)
    # Some end before others.
    assert slots == 1 or len(set(generator.counts)) > 2


def test_the_shortest_context_is_enough(tmp_path: Path) -> None:
    generator = Watched(tiny.write_folder(tmp_path), 4)
    build_kernels(generator, slots=4, limit=4, vocabulary=200, in_one_pass=True)
    assert generator.decoding.uids == []


@pytest.mark.parametrize("family", [tiny.write_sliding_folder, tiny.write_hybrid_folder, tiny.write_recurrent_folder])
def test_other_caches_go_through_it(tmp_path: Path, family: Any) -> None:
    generator = Watched(family(tmp_path), 8)
    build_kernels(generator, slots=8, limit=256, vocabulary=200, in_one_pass=True)
    assert max(generator.counts) == 8


def test_a_cpu_generates_one_token(tmp_path: Path) -> None:
    generator = Watched(tiny.write_folder(tmp_path), 8)
    touch(generator)
    assert generator._counters.generation_tokens == 1
    assert mx.default_device() == mx.cpu
