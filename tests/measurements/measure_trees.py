"""Decode steps of two versions: `python -m tests.measurements.measure_trees OTHER`, the folder of another checkout.

A process per version, with this Python's packages, loads the embedded model. They decode 1, 2 and 8 answers at the same
time, all greedy or each with other samplers, in alternation: a few steps each per round. Prints tokens per second of
all answers after their first tokens, medians of the rounds, and the median of the rounds' ratios: this version ÷ the
other one. `--processor` counts the processor time of the processes instead of the time that passes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

KINDS = ("greedy", "mixed")
MIXTURE = (
    {"temperature": 0.8},
    {"temperature": 0.8, "top_p": 0.9, "seed": 7},
    {"temperature": 1.0, "top_k": 40},
    {"temperature": 0.7, "min_p": 0.05},
    {"temperature": 0.0},
    {"temperature": 0.8, "top_p": 0.95, "repetition_penalty": 1.1},
    {"temperature": 0.9, "frequency_penalty": 0.2, "presence_penalty": 0.1},
    {"temperature": 0.6, "top_k": 20, "top_p": 0.9},
)


def serve(steps: int, processor: bool) -> None:
    """Answer each line `STREAMS KIND` with the tokens per second of the version that is imported."""
    from providers.engines.process import platform

    prepared = platform.prepare()  # before anything imports mlx

    from providers.chat.types import GenerationRequest, SamplingParams, TokenPrompt
    from providers.engine_host.frames import Generate
    from providers.engines.language.engine import LanguageEngine
    from providers.engines.process.engine import Outbox
    from providers.spec import ModelSpec

    clock = time.process_time if processor else time.perf_counter
    engine, out = LanguageEngine(prepared), Outbox(lambda report: None)
    spec = ModelSpec(name="any", path="embedded:smollm2-135m-instruct", max_concurrency=8, prefix_cache_bytes=0)
    engine.load(spec, lambda stage, fraction: None)
    for line in sys.stdin:
        streams, kind = int(line.split()[0]), line.split()[1]
        speed = None
        while speed is None:
            for number in range(streams):
                prompt = TokenPrompt([1, *(100 + (number * 37 + place * 11) % 5000 for place in range(63))])
                sampling = SamplingParams(**({"temperature": 0.0} if kind == "greedy" else MIXTURE[number]))
                request = GenerationRequest(id=f"{number}", prompt=prompt, sampling=sampling, max_tokens=steps + 16)
                engine.submit(engine.prepare(Generate(request=request)))
            while engine._waiting or any(len(each.tokens) < 4 for each in engine._sequences.values()):
                engine.step(out)
            before, begun = sum(len(each.tokens) for each in engine._sequences.values()), clock()
            for _ in range(steps):
                engine.step(out)
            taken = clock() - begun
            if len(engine._sequences) == streams:  # otherwise a sampler drew the end of an answer
                speed = (sum(len(each.tokens) for each in engine._sequences.values()) - before) / taken
            for number in range(streams):
                engine.cancel(f"{number}")
            while engine._sequences:
                engine.step(out)
        print(speed, flush=True)


class Version:
    """A process with the modules of a checkout."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        command = [sys.executable, __file__, f"--steps={options.steps}"]
        self.process = subprocess.Popen(
            [*command, *(["--processor"] if options.processor else [])],
            env={**os.environ, "PYTHONPATH": str(folder.resolve())},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def measure(self, streams: int, kind: str) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(streams, kind, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path, nargs="?")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 2, 8])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--processor", action="store_true")
    options = parser.parse_args()
    if options.other is None:  # one of the processes
        serve(options.steps, options.processor)
        return
    versions = [Version(folder, options) for folder in (options.other, Path(__file__).resolve().parents[2])]
    print("| answers | before, tok/s | now, tok/s | now ÷ before |\n| --- | ---: | ---: | ---: |", flush=True)
    for streams, kind in itertools.product(options.streams, KINDS):
        found: list[list[float]] = [[], []]
        for number in range(options.rounds + 1):
            for side in (0, 1) if number % 2 else (1, 0):
                found[side].append(versions[side].measure(streams, kind))
        before, now = (each[1:] for each in found)  # without the first round, which warms both up
        ratio = statistics.median(b / a for a, b in zip(before, now, strict=True))
        print(
            f"| {streams} {kind} | {statistics.median(before):.1f} | {statistics.median(now):.1f} | {ratio:.2f} |",
            flush=True,
        )
    for each in versions:
        each.process.communicate()


if __name__ == "__main__":
    main()
