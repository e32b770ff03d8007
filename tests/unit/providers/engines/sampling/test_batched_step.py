"""A batch whose rows are sampled together gives each row the token that it would get by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.generate import BatchGenerator
from mlx_lm.sample_utils import make_logits_processors
from mlx_lm.utils import load_model

from providers.engines.sampling import samplers
from providers.engines.sampling.batched_step import DecodingBatch
from providers.engines.sampling.joint import JointSampler
from providers.engines.sampling.samplers import make_sampler
from providers.engines.sampling.settings import Settings, resolve
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.inprocess import SteppedEngine
from tests.unit.providers.engines.sampling.plans import (
    ROWS,
    VOCABULARY,
    made_plan,
    random_logits,
    seeded,
    tokens_of,
)


def test_answers_of_mixed_settings_equal_the_separate_ones(tmp_path: Path, drawing: str) -> None:
    """Outputs of different lengths: sequences enter and leave the batch while others stay."""
    folder = tiny.write_folder(tmp_path)

    def answers(rows: int) -> list[str]:
        engine = SteppedEngine(folder, warmup=False, max_concurrency=rows, prefix_cache_bytes=0)
        given = [
            engine.submit(name, f"tell me {name}", sampling=seeded(number, params), max_tokens=5 + 3 * number)
            for number, (name, params) in enumerate(ROWS.items())
        ]
        engine.run()
        return [answer.text for answer in given]

    alone = answers(1)
    assert len(set(alone)) == len(ROWS)
    assert answers(5) == alone
    assert answers(len(ROWS)) == alone


@pytest.mark.parametrize("precision", [mx.float32, mx.bfloat16], ids=["float32", "bfloat16"])
def test_rows_draw_what_their_own_samplers_draw_even_when_they_part(precision: mx.Dtype, drawing: str) -> None:
    settings = [resolve(params, {}, vocabulary=VOCABULARY) for params in ROWS.values()]
    alone = [make_sampler(each, seed) for seed, each in enumerate(settings)]
    together = [make_sampler(each, seed) for seed, each in enumerate(settings)]
    _, plan = made_plan([None] * len(ROWS), together)
    for step in range(30):
        logits = random_logits(len(ROWS), step).astype(precision)
        expected = [sampler(logits[row : row + 1]).item() for row, sampler in enumerate(alone)]
        if step == 20:
            plan.release()
            _, plan = made_plan([None] * len(ROWS), together)
        assert tokens_of(plan, mx.zeros(len(ROWS), dtype=mx.uint32), logits) == expected


def test_numpy_draws_what_a_gpu_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [resolve(params, {}, vocabulary=VOCABULARY) for params in ROWS.values()]
    found = []
    for host in (True, False):
        monkeypatch.setattr(samplers, "on_host", lambda host=host: host)
        seeded = [make_sampler(each, seed) for seed, each in enumerate(settings)]
        drawn = [[each(random_logits(1, step)).item() for each in seeded] for step in range(30)]
        found.append(drawn)
    assert found[0] == found[1]


def test_unseeded_rows_of_one_batch_draw_differently() -> None:
    joint = JointSampler([make_sampler(Settings(temperature=1.0 + row / 100), None) for row in range(32)])
    flat = mx.zeros((32, 4096))
    assert len({*joint(flat).tolist(), *joint(flat).tolist()}) > 32


def test_steps_are_mlx_lms(tmp_path: Path) -> None:
    """With samplers and processors of other libraries, too."""
    model, _ = load_model(tiny.write_folder(tmp_path))
    prompts = [[5, 6, 7], [9] * 20, [3, 1], [8, 9, 10, 11]]
    samplers = [lambda logprobs, nth=nth: mx.argsort(logprobs, axis=-1)[:, -nth] for nth in (1, 2, 1, 3)]
    processors: list[Any] = [[], make_logits_processors(repetition_penalty=1.5), [], []]

    def generated(batch: type | None) -> dict[int, list[int]]:
        generator: Any = BatchGenerator(model, max_tokens=12)
        if batch is not None:
            generator._generation_batch = batch.empty(model, generator.sampler)
        found: dict[int, list[int]] = {}
        uids = generator.insert(prompts, [4, 12, 7, 9], samplers=samplers, logits_processors=processors)
        while len(found) < len(uids) or len(generator._generation_batch):
            for response in generator.next()[1]:
                found.setdefault(response.uid, []).append(response.token)
        return found

    assert generated(DecodingBatch) == generated(None)
