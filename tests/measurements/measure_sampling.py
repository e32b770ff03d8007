"""Cost of mixed sampling in a batch: `python -m tests.measurements.measure_sampling [SEQUENCES …]`, on a quiet machine.

Runs the engine in this process with the embedded model (or another: `--model`), all sequences together: first greedy,
then each sequence with its own settings. Prints milliseconds per step, of wall-clock time and of CPU time, and the
ratio of throughputs. Greedy and mixed runs alternate; the best of the same number of each counts.
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


def temperatures(sequence: int) -> SamplingParams:
    return SamplingParams(temperature=0.5 + sequence / 64)


def filters(sequence: int) -> SamplingParams:
    return SamplingParams(temperature=0.5 + sequence / 64, top_p=0.8 + sequence / 200, top_k=20 + sequence, min_p=0.01)


def seeds(sequence: int) -> SamplingParams:
    return SamplingParams(temperature=0.5 + sequence / 64, top_p=0.8 + sequence / 200, seed=sequence)


def penalties(sequence: int) -> SamplingParams:
    return SamplingParams(temperature=0.0, frequency_penalty=0.1 + sequence / 64, repetition_penalty=1.1)


def everything(sequence: int) -> SamplingParams:
    kinds = (temperatures, filters, seeds, penalties)
    return GREEDY if sequence % 5 == 4 else kinds[sequence % 5](sequence)


KINDS = (temperatures, filters, seeds, penalties, everything)


def seconds_per_step(engine: LanguageEngine, settings: Iterable[SamplingParams], most: int) -> tuple[float, float]:
    """Wall-clock and CPU seconds per step of a batch, one sequence per settings, while all of them generate."""
    out = Outbox(lambda report: None)
    for sequence, sampling in enumerate(settings):
        prompt = TokenPrompt([100 + (sequence * 37 + place * 11) % 5000 for place in range(PROMPT)])
        request = GenerationRequest(id=f"{sequence}", prompt=prompt, sampling=sampling, max_tokens=most + 8)
        engine.submit(engine.prepare(Generate(request=request)))
    while not engine._sequences or any(not sequence.generated for sequence in engine._sequences.values()):
        engine.step(out)
    begun, worked, steps = time.perf_counter(), time.process_time(), 0
    sequences = len(engine._sequences)
    while len(engine._sequences) == sequences and steps < most:
        engine.step(out)
        steps += 1
    taken = ((time.perf_counter() - begun) / steps, (time.process_time() - worked) / steps)
    for sequence in range(sequences):
        engine.cancel(f"{sequence}")
    return taken


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sequences", nargs="*", type=int, default=[8, 32])
    parser.add_argument("--kind", choices=[kind.__name__ for kind in KINDS])
    parser.add_argument("--model", default="embedded:smollm2-135m-instruct")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    for sequences in options.sequences:
        engine = LanguageEngine(prepared)
        spec = ModelSpec(name="any", path=options.model, max_concurrency=sequences, prefix_cache_bytes=0)
        engine.load(spec, lambda stage, fraction: None)
        for kind in KINDS if options.kind is None else [kind for kind in KINDS if kind.__name__ == options.kind]:
            greedy, mixed = [], []
            for _ in range(options.rounds):
                greedy.append(seconds_per_step(engine, [GREEDY] * sequences, options.steps))
                mixed.append(seconds_per_step(engine, map(kind, range(sequences)), options.steps))
            (clock, work), (mixed_clock, mixed_work) = (map(min, zip(*found, strict=True)) for found in (greedy, mixed))
            print(
                f"{sequences} sequences, {kind.__name__}: {mixed_clock * 1000:.1f} ms per step "
                f"({mixed_work * 1000:.1f}), greedy {clock * 1000:.1f} ({work * 1000:.1f}): "
                f"{clock / mixed_clock:.2f} of its throughput",
                flush=True,
            )


if __name__ == "__main__":
    main()
