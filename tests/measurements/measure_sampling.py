"""What mixed sampling costs a batch: `python -m tests.measurements.measure_sampling [ROWS …]`, on a quiet machine.

Drives the engine in this process with the embedded model (or another: `--model`), all rows together: greedy, then every
row with settings of its own. Prints milliseconds per step, of the clock and of the processors, and the ratio of
throughputs; greedy and mixed runs alternate, and the best of as many of each counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable

from providers.engines.process import platform

prepared = platform.prepare()

from providers.chat.types import GenerationRequest, SamplingParams, TokenPrompt  # noqa: E402
from providers.engine_host.frames import Generate  # noqa: E402
from providers.engines.language.engine import LanguageEngine  # noqa: E402
from providers.engines.process.engine import Outbox  # noqa: E402
from providers.spec import ModelSpec  # noqa: E402

PROMPT = 8
GREEDY = SamplingParams(temperature=0.0)


def temperatures(row: int) -> SamplingParams:
    return SamplingParams(temperature=0.5 + row / 64)


def filters(row: int) -> SamplingParams:
    return SamplingParams(temperature=0.5 + row / 64, top_p=0.8 + row / 200, top_k=20 + row, min_p=0.01)


def seeds(row: int) -> SamplingParams:
    return SamplingParams(temperature=0.5 + row / 64, top_p=0.8 + row / 200, seed=row)


def penalties(row: int) -> SamplingParams:
    return SamplingParams(temperature=0.0, frequency_penalty=0.1 + row / 64, repetition_penalty=1.1)


def everything(row: int) -> SamplingParams:
    kinds = (temperatures, filters, seeds, penalties)
    return GREEDY if row % 5 == 4 else kinds[row % 5](row)


KINDS = (temperatures, filters, seeds, penalties, everything)


def seconds_a_step(engine: LanguageEngine, settings: Iterable[SamplingParams], most: int) -> tuple[float, float]:
    """Of a batch with one row for each of the settings, once all of them generate: of the clock, of the processors."""
    out = Outbox(lambda report: None)
    for row, sampling in enumerate(settings):
        prompt = TokenPrompt([100 + (row * 37 + place * 11) % 5000 for place in range(PROMPT)])
        request = GenerationRequest(id=f"{row}", prompt=prompt, sampling=sampling, max_tokens=most + 8)
        engine.submit(engine.prepare(Generate(request=request)))
    while not engine._sequences or any(not row.generated for row in engine._sequences.values()):
        engine.step(out)
    begun, worked, steps = time.perf_counter(), time.process_time(), 0
    rows = len(engine._sequences)
    while len(engine._sequences) == rows and steps < most:
        engine.step(out)
        steps += 1
    taken = ((time.perf_counter() - begun) / steps, (time.process_time() - worked) / steps)
    for row in range(rows):
        engine.cancel(f"{row}")
    return taken


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="*", type=int, default=[8, 32])
    parser.add_argument("--kind", choices=[kind.__name__ for kind in KINDS])
    parser.add_argument("--model", default="embedded:smollm2-135m-instruct")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    for rows in options.rows:
        engine = LanguageEngine(prepared)
        spec = ModelSpec(name="any", path=options.model, max_concurrency=rows, prefix_cache_bytes=0)
        engine.load(spec, lambda stage, fraction: None)
        for kind in KINDS if options.kind is None else [kind for kind in KINDS if kind.__name__ == options.kind]:
            greedy, mixed = [], []
            for _ in range(options.rounds):
                greedy.append(seconds_a_step(engine, [GREEDY] * rows, options.steps))
                mixed.append(seconds_a_step(engine, map(kind, range(rows)), options.steps))
            (clock, work), (mixed_clock, mixed_work) = (map(min, zip(*found, strict=True)) for found in (greedy, mixed))
            print(
                f"{rows} rows, {kind.__name__}: {mixed_clock * 1000:.1f} ms a step ({mixed_work * 1000:.1f}), "
                f"greedy {clock * 1000:.1f} ({work * 1000:.1f}): {clock / mixed_clock:.2f} of its throughput",
                flush=True,
            )


if __name__ == "__main__":
    main()
