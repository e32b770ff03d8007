"""Cost of mixed sampling in a batch: `python -m tests.measurements.measure_sampling [SEQUENCES …]`, on a quiet machine.

Runs the engine in this process with the embedded model, another (`--model`), or one of random weights in a shape
(`--shape WIDTHxLAYERSxVOCABULARY`, whose forward pass is as short as a GPU's): first greedy, then each sequence with
its own settings of one kind, and in the end their mixture. Rounds of all kinds alternate; the median of each counts.
Prints milliseconds per step, of wall-clock time and of CPU time, and the ratio of greedy time to that of the kind,
which is its share of greedy throughput. `--operations` counts instead the kernels that sampling launches on a GPU in
each step, without running them, on any machine without one for all (CUDA has it). `--alone` measures on CUDA the
drawing and the log-probabilities by themselves, as operations of MLX and as one kernel.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

if "--operations" in sys.argv:
    os.environ["MLX_DISABLE_COMPILE"] = "0"

from providers.engines.process import platform

prepared = platform.prepare()

import mlx.core as mx  # noqa: E402

from providers.chat.types import GenerationRequest, SamplingParams, TokenPrompt  # noqa: E402
from providers.engine_host.frames import Generate  # noqa: E402
from providers.engines.language.engine import LanguageEngine  # noqa: E402
from providers.engines.process.engine import Outbox  # noqa: E402
from providers.engines.sampling.settings import resolve  # noqa: E402
from providers.spec import ModelSpec  # noqa: E402
from tests.unit.providers.engines import tiny  # noqa: E402

PROMPT = 8
SLIGHT = 1e-5
Kind = Callable[[int], SamplingParams]


def heat(sequence: int) -> float:
    return 0.5 + sequence / 64


def greedy(sequence: int) -> SamplingParams:
    return SamplingParams(temperature=0.0)


def temperature(sequence: int) -> SamplingParams:
    return SamplingParams(temperature=heat(sequence))


def top_p(sequence: int) -> SamplingParams:
    return SamplingParams(temperature=heat(sequence), top_p=0.8 + sequence / 200)


def top_k(sequence: int) -> SamplingParams:
    return SamplingParams(temperature=heat(sequence), top_k=20 + sequence)


def min_p(sequence: int) -> SamplingParams:
    return SamplingParams(temperature=heat(sequence), min_p=0.01 + sequence / 1000)


def filters(sequence: int) -> SamplingParams:
    return SamplingParams(temperature=heat(sequence), top_p=0.8 + sequence / 200, top_k=20 + sequence, min_p=0.01)


def xtc(sequence: int) -> SamplingParams:
    return SamplingParams(temperature=heat(sequence), xtc_probability=0.5, xtc_threshold=0.05 + sequence / 1000)


def seeds(sequence: int) -> SamplingParams:
    return SamplingParams(temperature=heat(sequence), top_p=0.8 + sequence / 200, seed=sequence)


def repetition(sequence: int) -> SamplingParams:
    """So weak that the texts stay those of `greedy`: on a CPU, the time of a step also depends on its numbers."""
    return SamplingParams(temperature=0.0, repetition_penalty=1.0 + SLIGHT * (sequence + 1))


def counts(sequence: int) -> SamplingParams:
    return SamplingParams(temperature=0.0, frequency_penalty=SLIGHT * (sequence + 1), presence_penalty=SLIGHT)


def bias(sequence: int) -> SamplingParams:
    return SamplingParams(temperature=0.0, logit_bias={100 + sequence: SLIGHT, 101: -SLIGHT})


def logprobs(sequence: int) -> SamplingParams:
    """With the log-probabilities of five tokens."""
    return SamplingParams(temperature=heat(sequence))


EACH: tuple[Kind, ...] = (
    temperature, top_p, top_k, min_p, filters, xtc, seeds, repetition, counts, bias, logprobs,
)  # fmt: skip


def mixture(sequence: int) -> SamplingParams:
    return (*EACH, greedy)[sequence % (len(EACH) + 1)](sequence)


KINDS = (*EACH, mixture)


def top_logprobs(kind: Kind, sequence: int) -> int | None:
    asked = kind is logprobs or (kind is mixture and (*EACH, greedy)[sequence % (len(EACH) + 1)] is logprobs)
    return 5 if asked else None


def started(engine: LanguageEngine, out: Outbox, kind: Kind, sequences: int, most: int) -> None:
    """Start generating, up to where every sequence has a token."""
    for sequence in range(sequences):
        prompt = TokenPrompt([3 + (sequence * 37 + place * 11) % 200 for place in range(PROMPT)])
        request = GenerationRequest(
            id=f"{sequence}",
            prompt=prompt,
            sampling=kind(sequence),
            max_tokens=most,
            top_logprobs=top_logprobs(kind, sequence),
        )
        engine.submit(engine.prepare(Generate(request=request)))
    while len(engine._sequences) < sequences or any(not sequence.tokens for sequence in engine._sequences.values()):
        engine.step(out)


def seconds_per_step(engine: LanguageEngine, kind: Kind, sequences: int, steps: int) -> tuple[float, float]:
    """Wall-clock and CPU seconds per step of a batch, one sequence per settings, while all of them generate."""
    out = Outbox(lambda report: None)
    started(engine, out, kind, sequences, steps + 16)
    for _ in range(2):
        engine.step(out)
    begun, worked, done = time.perf_counter(), time.process_time(), 0
    running = len(engine._sequences)
    while len(engine._sequences) == running and done < steps:
        engine.step(out)
        done += 1
    taken = ((time.perf_counter() - begun) / done, (time.process_time() - worked) / done)
    stop(engine, sequences)
    return taken


def stop(engine: LanguageEngine, sequences: int) -> None:
    for sequence in range(sequences):
        engine.cancel(f"{sequence}")


def operations(kinds: Iterable[Kind], sequences: int, width: int) -> None:
    """Print how many kernels sampling takes on a GPU, and which; nothing is computed."""
    from providers.engines.sampling import batched_step, samplers
    from providers.engines.sampling.logprobs import LogprobRecorder
    from providers.engines.sampling.samplers import make_sampler
    from providers.engines.sampling.settings import make_processors

    for module in (batched_step, samplers):
        vars(module)["on_host"] = lambda: False
    mx.enable_compile()
    for kind in (greedy, *kinds):
        batch: Any = batched_step.DecodingBatch.empty(None, samplers.GREEDY)  # type: ignore[no-untyped-call]
        rows = range(sequences)
        params = [kind(row) for row in rows]
        chosen = [make_sampler(resolve(one, {}, vocabulary=width), one.seed) for one in params]
        tops = [top_logprobs(kind, row) for row in rows]
        pieces: Any = None
        batch.samplers = [
            one if top is None else LogprobRecorder(one, pieces, top) for one, top in zip(chosen, tops, strict=True)
        ]
        batch.logits_processors = [make_processors(one, {}) for one in params]
        batch.tokens = [[1, 2, 3] for _ in rows]
        batch.uids = [*rows]
        plan = batch.make_plan()
        fed, logits = mx.zeros(sequences, dtype=mx.uint32), mx.zeros((sequences, width), dtype=mx.bfloat16)
        for _ in range(2):  # The first step also begins the counts.
            mx.eval(fed, logits, plan.state)
            found = [plan(fed, logits), *plan.state]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "graph.dot")
            mx.export_to_dot(str(path), *found)  # type: ignore[arg-type]
            names = re.findall(r'\[label ="([^"]+)", shape=rectangle\]', path.read_text())
        views = ("Slice", "Reshape", "Broadcast", "Squeeze", "ExpandDims", "StopGradient", "Flatten", "Unflatten")
        launched = [name for name in names if name not in views]
        listed = ", ".join(f"{count} {name}" for name, count in sorted(Counter(launched).items()))
        print(f"{sequences} sequences, {kind.__name__}: {len(launched)} kernels ({listed})", flush=True)


def alone(sequences: int, width: int, times: int = 30) -> None:
    """Print milliseconds of drawing, with the host's part of them, for logits in bfloat16."""
    from providers.engines.sampling import cuda_kernels, kernels, logprobs

    logits = (mx.random.normal((sequences, width)) * 3).astype(mx.bfloat16)
    drawn, places = mx.zeros(sequences, dtype=mx.uint32), mx.arange(sequences)
    mx.eval(logits, drawn, places)
    cases: dict[str, list[Callable[[], mx.array]]] = {}
    for kind in (temperature, top_p, top_k, min_p, filters, xtc, mixture):
        settings = [resolve(kind(row), {}, vocabulary=width) for row in range(sequences)]
        drawings = kernels.Drawing(settings), cuda_kernels.CudaDrawing(settings)
        cases[kind.__name__] = [functools.partial(each.draw, logits, [(0.3, 0.2)] * sequences) for each in drawings]
    operations = functools.partial(logprobs._in_operations(5), drawn, logits)
    cases["logprobs"] = [operations, functools.partial(cuda_kernels.note, logits, drawn, places, 5)]
    for name, calls in cases.items():
        for how, call in zip(("operations", "kernel"), calls, strict=True):
            mx.eval([call() for _ in range(3)])
            begun = time.perf_counter()
            results = [call() for _ in range(times)]
            mx.async_eval(results)
            host = time.perf_counter() - begun
            mx.eval(results)
            taken = time.perf_counter() - begun
            print(f"{sequences} sequences, {name}, {how}: {taken / times * 1e3:.3f} ms, host {host / times * 1e3:.3f}")


def measure(engine: LanguageEngine, kinds: list[Kind], sequences: int, options: argparse.Namespace) -> None:
    taken: dict[Kind, list[tuple[float, float]]] = {kind: [] for kind in (greedy, *kinds)}
    for kind in taken:  # Builds the kernels.
        seconds_per_step(engine, kind, sequences, 1)
    for _ in range(options.rounds):
        for kind in taken:
            taken[kind].append(seconds_per_step(engine, kind, sequences, options.steps))
    clock, work = (statistics.median(values) * 1000 for values in zip(*taken[greedy], strict=True))
    print(f"{sequences} sequences, greedy: {clock:.2f} ms per step ({work:.2f} of CPU time)", flush=True)
    for kind in kinds:
        found, worked = (statistics.median(values) * 1000 for values in zip(*taken[kind], strict=True))
        print(f"{sequences} sequences, {kind.__name__}: {found:.2f} ms ({worked:.2f}): {clock / found:.2f} of greedy")


def random_model(shape: str, folder: Path) -> str:
    width, layers, vocabulary = map(int, shape.split("x"))
    path = tiny.write_folder(
        folder,
        scale=1,
        hidden_size=width,
        num_hidden_layers=layers,
        intermediate_size=width * 3,
        num_attention_heads=width // 64,
        num_key_value_heads=max(1, width // 256),
        vocab_size=vocabulary,
    )
    return str(path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sequences", nargs="*", type=int, default=[8, 32])
    parser.add_argument("--kind", choices=[kind.__name__ for kind in KINDS], action="append")
    parser.add_argument("--model", default="embedded:smollm2-135m-instruct")
    parser.add_argument("--shape", help="WIDTHxLAYERSxVOCABULARY of a model of random weights, as 1024x16x151936")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--operations", action="store_true", help="count kernels of a vocabulary of 151,936")
    parser.add_argument("--alone", action="store_true", help="only the drawing, on CUDA, of a vocabulary of 152,064")
    options = parser.parse_args()
    kinds = [kind for kind in KINDS if options.kind is None or kind.__name__ in options.kind]
    with tempfile.TemporaryDirectory() as folder:
        model = options.model if options.shape is None else random_model(options.shape, Path(folder, "model"))
        for sequences in options.sequences:
            if options.alone:
                alone(sequences, 152_064)
                continue
            if options.operations:
                operations(kinds, sequences, 151_936)
                continue
            engine = LanguageEngine(prepared)
            spec = ModelSpec(name="any", path=model, max_concurrency=sequences, prefix_cache_bytes=0)
            engine.load(spec, lambda stage, fraction: None)
            measure(engine, kinds, sequences, options)


if __name__ == "__main__":
    main()
