"""What single rows in numpy gain on the Linux CPU: `python -m tests.measurements.measure_one_row`, on a quiet machine.

Runs two engines in this process with the embedded model (or another: `--model`), one of which leaves all products to
MLX. Their runs alternate, and each number is the median of the rounds: milliseconds from the request to the first
token, and milliseconds per step after it, of wall-clock and of processor time, for each number of sequences and length
of prompt. The greedy answers of one sequence must be the same.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from unittest.mock import patch

from providers.engines.process import platform

prepared = platform.prepare()

from providers.chat.types import GenerationRequest, SamplingParams, TokenPrompt  # noqa: E402
from providers.engine_host.frames import Generate  # noqa: E402
from providers.engines.language import loading  # noqa: E402
from providers.engines.language.engine import LanguageEngine  # noqa: E402
from providers.engines.process.engine import Outbox  # noqa: E402
from providers.spec import ModelSpec  # noqa: E402


def started(model: str, sequences: int) -> LanguageEngine:
    engine = LanguageEngine(prepared)
    spec = ModelSpec(name="any", path=model, max_concurrency=sequences, prefix_cache_bytes=0)
    engine.load(spec, lambda stage, fraction: None)
    return engine


def run(engine: LanguageEngine, sequences: int, prompt: int, steps: int) -> tuple[list[float], list[int]]:
    """Milliseconds of wall-clock and processor time of the first token and of a step; the first sequence's tokens."""
    out = Outbox(lambda report: None)
    clocks = [(time.perf_counter(), time.process_time())]
    for number in range(sequences):
        tokens = TokenPrompt([1, *(100 + (number * 37 + place * 11) % 5000 for place in range(prompt - 1))])
        asked = GenerationRequest(
            id=f"{number}", prompt=tokens, sampling=SamplingParams(temperature=0.0), max_tokens=steps + 8
        )
        engine.submit(engine.prepare(Generate(request=asked)))
    while not engine._sequences or any(not each.tokens for each in engine._sequences.values()):
        engine.step(out)
    clocks.append((time.perf_counter(), time.process_time()))
    for _ in range(steps):
        engine.step(out)
    clocks.append((time.perf_counter(), time.process_time()))
    answer = list(next(iter(engine._sequences.values())).tokens)
    for number in range(sequences):
        engine.cancel(f"{number}")
    while engine._sequences:
        engine.step(out)
    taken = [
        1000 * (after - before) / count
        for count, (first, second) in zip((1, steps), itertools.pairwise(clocks), strict=True)
        for before, after in zip(first, second, strict=True)
    ]
    return taken, answer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="embedded:smollm2-135m-instruct")
    parser.add_argument("--sequences", type=int, nargs="+", default=[1, 2, 8])
    parser.add_argument("--prompts", type=int, nargs="+", default=[64, 600])
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with patch.object(loading, "compute_rows_in_numpy", lambda *_: False):
        engines = {"MLX": started(options.model, max(options.sequences))}
    engines["numpy"] = started(options.model, max(options.sequences))
    print("sequences, prompt, rows by: first token, a step (wall-clock / processor ms)")
    for sequences in options.sequences:
        for prompt in options.prompts:
            rounds: dict[str, list[list[float]]] = {name: [] for name in engines}
            answers: dict[str, list[int]] = {}
            for _ in range(options.rounds):
                for name, engine in engines.items():
                    taken, answers[name] = run(engine, sequences, prompt, options.steps)
                    rounds[name].append(taken)
            for name, taken_each in rounds.items():
                wall, cpu, step_wall, step_cpu = (statistics.median(each) for each in zip(*taken_each, strict=True))
                first, step = f"{wall:.0f} / {cpu:.0f}", f"{step_wall:.1f} / {step_cpu:.1f}"
                print(f"{sequences:3} {prompt:5} {name:6} {first:>12} {step:>14}", flush=True)
            if sequences == 1 and len({*map(tuple, answers.values())}) > 1:
                print("the answers differ", answers)


if __name__ == "__main__":
    main()
