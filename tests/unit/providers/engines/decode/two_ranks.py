"""A model on two ranks of the ring and in one process. `python -m tests.unit.providers.engines.decode.two_ranks FOLDER`
is the program of both ranks, which `providers.engines.group.launch` starts.

Rank 0 prints a JSON line per case. The CUDA kernels are stand-ins. FOLDER is for models.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models import llama, qwen2, qwen3

from providers.chat.types import SamplingParams
from providers.engines.decode.fused import Projection
from providers.engines.decode.step import prepare_decode_step
from providers.engines.group import orders
from providers.engines.group.following import obey
from providers.engines.group.joining import Follower, end_process, join
from providers.engines.group.ranks import ALONE, Ranks
from providers.engines.group.sharding import divide
from providers.memory.part import Way
from providers.spec import DecodeStep, ModelSpec
from tests.unit.providers.engines import decode_stand_ins, tiny
from tests.unit.providers.engines.decode.test_step import FAMILIES as KNOWN
from tests.unit.providers.engines.decode.test_step import build, logits, quantize
from tests.unit.providers.engines.inprocess import SteppedEngine

FAMILIES = ("llama", "llama 3", "mistral", "qwen2", "qwen3")
CHANGES: dict[str, Callable[[Any], Any]] = {"plain": lambda model: None, "quantised": quantize}
WIDER = {"intermediate_size": 128}
"""Half of it is still groups of 32 weights."""
ANSWERED: dict[str, tuple[Any, Way, int, bool]] = {
    "llama alone": (llama, "tensor", 1, True),
    "llama among eight": (llama, "tensor", 8, False),
    "qwen2 among eight on a GPU": (qwen2, "tensor", 8, True),
    "qwen2 in a pipeline": (qwen2, "pipeline", 8, True),
    "qwen3 alone on a CPU": (qwen3, "tensor", 1, False),
    "qwen3 among eight on a GPU": (qwen3, "tensor", 8, True),
}
"""By name: architecture, way of division, most sequences at a time, and whether a GPU is imitated."""
NO_END = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})
PROMPTS = [f"{'word ' * (7 * number % 23)}question {number}" for number in range(8)]


def compare_sums(ranks: Ranks) -> dict[str, Any]:
    """How far a compiled function with two sums over the ranks is from the same one that is not compiled."""

    def after(x: mx.array, weights: list[mx.array]) -> tuple[mx.array, mx.array]:
        added = x + mx.distributed.all_sum(x @ weights[0], group=ranks.world)
        normed = mx.fast.rms_norm(added, None, 1e-5)
        return added + mx.distributed.all_sum(normed @ weights[1], group=ranks.world), normed

    mx.random.seed(ranks.world.rank())
    weights = [mx.random.normal((64, 64)) * 0.1 for _ in range(2)]
    mx.enable_compile()
    compiled = mx.compile(after)
    far = []
    for sequences in (1, 8, 3, 1):
        ours = theirs = mx.ones((sequences, 1, 64))
        for _ in range(12):  # in one graph
            ours, theirs = compiled(ours, weights)[0], after(theirs, weights)[0]
        far.append(distance(ours, theirs))
    mx.disable_compile()
    return {"far": max(far)}


def compare_logits(ranks: Ranks, family: str, change: str) -> dict[str, Any]:
    """How far the logits of a divided model are from those of one process, with our step and mlx-lm's."""
    make = functools.partial(build, family, CHANGES[change], **WIDER)
    expected = logits(make())
    compared: dict[str, Any] = {}
    steps: tuple[DecodeStep, ...] = ("mlx-lm", "own")
    for step in steps:
        model = make()
        spec = ModelSpec(name="m", path="", tensor_parallel=2)
        divide(model, tiny.config(**KNOWN[family][1], **WIDER), spec, ranks)
        with pytest.MonkeyPatch.context() as patch:
            decode_stand_ins.restore_after(patch)
            decode_stand_ins.install(patch)
            prepare_decode_step(model, "cuda", step)
            found = logits(model)
        compared[step] = max(map(distance, found, expected))
        compared["projections"] = sum(type(module) is Projection for _, module in model.named_modules())
        compared["shortened"] = sum(type(layer).__name__.startswith("Shortened") for layer in model.layers)
    return compared


def distance(ours: mx.array, theirs: mx.array) -> float:
    """The largest difference, as a part of the largest number."""
    return float((mx.abs(ours - theirs).max() / mx.abs(theirs).max()).item())


def compare_answers(ranks: Ranks, folder: Path, way: Way, slots: int, gpu: bool) -> dict[str, Any]:
    """Answers of one process and of two ranks, with mlx-lm's step and with ours."""
    made: dict[str, Any] = {}
    for own in (False, True):
        step = "own" if own else "mlx-lm"
        if ranks.leads:
            made[f"one, {step}"] = answers(folder, ALONE, slots=slots, own=own, gpu=gpu)
        divided = {"tensor_parallel" if way == "tensor" else "pipeline": 2}
        made[f"two, {step}"] = answers(folder, ranks, slots=slots, own=own, gpu=gpu, **divided)
    return made


def answers(folder: Path, ranks: Ranks, *, slots: int, own: bool, gpu: bool, **spec: Any) -> list[str]:
    """Answers to prompts of uneven lengths, which end at different steps. A rank other than 0 has none.

    `gpu`: warm up, choose tokens and start steps as on a GPU.
    """
    with pytest.MonkeyPatch.context() as patch:
        if own:
            decode_stand_ins.load_as_on_cuda(patch)
        if gpu:
            patch.setattr(mx, "default_device", lambda: mx.Device(mx.gpu))
        engine = SteppedEngine(folder, ranks=ranks, max_concurrency=slots, **spec)
        if isinstance(ranks, Follower):
            while not isinstance(order := ranks.next_order(), orders.Tidy):
                obey(engine.engine, order)
            return []
        given = [
            engine.submit(str(index), prompt, sampling=NO_END, max_tokens=4 + index % 5)
            for index, prompt in enumerate(PROMPTS)
        ]
        engine.run()
        ranks.tidy()
        return [answer.text for answer in given]


def main() -> None:
    folder = Path(sys.argv[1])
    ranks = join()
    report(ranks, "compiled sums", compare_sums(ranks))
    for family in FAMILIES:
        for change in CHANGES:
            report(ranks, f"{family}, {change}", compare_logits(ranks, family, change))
    for number, (case, (architecture, *how)) in enumerate(ANSWERED.items()):
        model = folder / f"{ranks.world.rank()}-{number}"
        name = architecture.__name__.rpartition(".")[2]
        tiny.write_folder(model, architecture=architecture, model_type=name, head_dim=16, num_hidden_layers=3)
        report(ranks, case, compare_answers(ranks, model, *how))
    if isinstance(ranks, Follower):
        ranks.next_order()  # None comes: this process ends with rank 0.
    end_process(0, "all cases are done")


def report(ranks: Ranks, case: str, found: dict[str, Any]) -> None:
    if ranks.leads:
        print(json.dumps({"case": case, **found}), flush=True)


if __name__ == "__main__":
    main()
