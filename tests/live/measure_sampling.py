"""What mixed sampling costs a batch: `python -m tests.live.measure_sampling [ROWS …]`, on a quiet machine.

Drives the engine in this process with the embedded model, all rows at once: greedy, then every row with settings of
its own. Prints milliseconds a step, of the clock and of the processors, and the ratio of throughputs; greedy and mixed
runs alternate, the best of each counts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

from providers.engines import platform

prepared = platform.prepare()

from providers.engines.engine import Outbox  # noqa: E402
from providers.engines.lm import LanguageEngine  # noqa: E402
from providers.frames import Generate  # noqa: E402
from providers.generation import GenerationRequest, SamplingParams, TokenPrompt  # noqa: E402
from providers.spec import ModelSpec  # noqa: E402

STEPS, ROUNDS, PROMPT = 6, 2, 8
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


def seconds_a_step(engine: LanguageEngine, settings: Iterable[SamplingParams]) -> tuple[float, float]:
    """Of a batch with one row for each of the settings, once all of them generate: of the clock, of the processors."""
    out = Outbox(lambda report: None)
    for row, sampling in enumerate(settings):
        prompt = TokenPrompt([100 + (row * 37 + place * 11) % 5000 for place in range(PROMPT)])
        request = GenerationRequest(id=f"{row}", prompt=prompt, sampling=sampling, max_tokens=STEPS + 8)
        engine.submit(engine.prepare(Generate(request=request)))
    while not engine._rows or any(not row.generated for row in engine._rows.values()):
        engine.step(out)
    begun, worked, steps = time.perf_counter(), time.process_time(), 0
    rows = len(engine._rows)
    while len(engine._rows) == rows and steps < STEPS:
        engine.step(out)
        steps += 1
    taken = ((time.perf_counter() - begun) / steps, (time.process_time() - worked) / steps)
    for row in range(rows):
        engine.cancel(f"{row}")
    return taken


def main() -> None:
    for rows in [int(word) for word in sys.argv[1:]] or [8, 32]:
        engine = LanguageEngine(prepared)
        spec = ModelSpec(name="any", path="embedded:smollm2-135m-instruct", max_concurrency=rows, prefix_cache_bytes=0)
        engine.load(spec, lambda stage, fraction: None)
        kinds = (temperatures, filters, seeds, penalties, everything)
        best = dict.fromkeys(["greedy", *(kind.__name__ for kind in kinds)], (float("inf"), float("inf")))
        for _ in range(ROUNDS):
            for kind in kinds:
                for name, settings in (("greedy", [GREEDY] * rows), (kind.__name__, map(kind, range(rows)))):
                    clock, work = seconds_a_step(engine, settings)
                    best[name] = min(best[name][0], clock), min(best[name][1], work)
        for name, (clock, work) in best.items():
            share = best["greedy"][0] / clock
            print(
                f"{rows} rows, {name}: {clock * 1000:.0f} ms a step ({work * 1000:.0f}), {share:.2f} of greedy",
                flush=True,
            )


if __name__ == "__main__":
    main()
