"""Where the time to the first token of a later turn goes, on a machine without a GPU.

`python -m tests.measurements.measure_later_turn [TURNS [SENTENCES]]`: a debater speaks with the embedded model in this
process, behind a brief of SENTENCES sentences of about 28 tokens. Prints the time to the first token of each turn, then
the parts of the last turn. Parts of the model are measured in one more pass over the same tokens, in the engine's
thread, which then computes all halves itself. All but the first column of times is processor time, which other programs
on the machine change less. At last, passes on one core and on two alternate.
"""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from providers.engines.process import platform

PREPARED = platform.prepare()  # Before anything imports mlx.

# ruff: noqa: E402
import mlx.core as mx

from providers.engine_host.frames import Report
from providers.engines.cpu import one_sequence
from providers.engines.group.ranks import ALONE
from providers.engines.language.engine import LanguageEngine
from providers.engines.process.engine import Outbox
from providers.engines.process.mlx_lm_internals.prefill import PromptBatch, last_logits, merge_layers
from providers.spec import ModelSpec
from server.cli.bench.debate import make_brief, messages_of
from tests.unit.providers.engines.client import chat
from tests.unit.providers.engines.inprocess import SteppedEngine

REPLY = "I do not believe a word of that, since the survey of nurses in Lyon says otherwise. What do you say?"
MODEL = "embedded:smollm2-135m-instruct"
ROUNDS = 20

Times = defaultdict[str, float]


class MeasuredEngine(SteppedEngine):
    """The embedded model on this machine's BLAS, as an engine process has it."""

    def __init__(self) -> None:
        self.ranks = ALONE
        self.engine = LanguageEngine(PREPARED)
        self.info = self.engine.load(ModelSpec(name="m", path=MODEL, grammar_timeout=0.0), lambda stage, fraction: None)
        self.out = Outbox(self.file)
        self.answers = {}
        self.first: tuple[float, float] | None = None
        """Of the last turn: when its first text was delivered, by the clock and by the processor's seconds."""

    def file(self, report: Report) -> None:
        super().file(report)
        if self.first is None and any(answer.text and not answer.ended for answer in self.answers.values()):
            self.first = time.perf_counter(), time.process_time()


def measured(
    times: Times, owner: Any, name: str, label: str, clock: Callable[[], float] = time.process_time
) -> Callable[[], None]:
    """Add the seconds of each call to `times`. Returns what undoes that."""
    plain = getattr(owner, name)

    def call(*args: Any, **options: Any) -> Any:
        started = clock()
        result = plain(*args, **options)
        times[label] += clock() - started
        return result

    setattr(owner, name, call)
    return lambda: setattr(owner, name, plain)


def turn(engine: MeasuredEngine, number: int, messages: list[dict[str, str]]) -> tuple[str, float, Times]:
    """The text of a turn, the seconds to its first token by the clock, and where the processor's went."""
    times: Times = defaultdict(float)
    batch, inner = engine.engine._batch, engine.engine
    undo = [
        measured(times, inner, "_fetch", "look-up of the kept prefix"),
        measured(times, PromptBatch, "generate", "pass over the new tokens"),
        measured(times, PromptBatch, "prompt", "chunks before it"),
        measured(times, batch.generator, "_make_batch", "into the batch"),
    ]
    started, began = time.process_time(), time.perf_counter()
    prompt = chat(*((message["role"], message["content"]) for message in messages))
    answer = engine.submit(str(number), prompt, max_tokens=24)
    times["render and tokenize"] = time.process_time() - started
    engine.first = None
    while engine.first is None:
        engine.step()
    wall, seconds = engine.first[0] - began, engine.first[1] - started
    times["the graph of the next step, text"] = seconds - sum(times.values())
    for each in undo:
        each()
    engine.run()
    assert answer.accepted is not None
    tokens, kept = answer.accepted.prompt_tokens, answer.accepted.cached_tokens
    print(f"{tokens:6} tokens, {kept:5} kept: {1000 * wall:7.0f} ms, of the processor {1000 * seconds:7.0f}")
    return answer.text, wall, times


class Pass:
    """The model's pass over the new tokens of a prompt, which can be repeated."""

    def __init__(self, engine: MeasuredEngine, messages: list[dict[str, str]]) -> None:
        self._model = engine.engine._model
        tokens = engine.engine._intake._prompts.tokens(chat(*((m["role"], m["content"]) for m in messages)))
        kept, cached = engine.engine._prefixes.fetch(tokens)
        assert kept is not None
        self._kept, self.new = kept, tokens[cached:]

    def compute(self) -> None:
        cache = merge_layers([copy.copy(self._kept)], room=len(self.new))
        logits = last_logits(self._model, mx.array([self.new]), cache, [len(self.new)])
        mx.eval(logits, [layer.state for layer in cache])

    @contextmanager
    def on_one_core(self) -> Iterator[None]:
        layers: Any = self._model.model.layers
        cores = [layer._second_core for layer in layers]
        for layer in layers:
            layer._second_core = None
        yield
        for layer, core in zip(layers, cores, strict=True):
            layer._second_core = core


def parts(one: Pass) -> Times:
    """The seconds of each part of the model in a pass on one core."""
    times: Times = defaultdict(float)
    undo = [
        measured(times, owner, name, label, clock=time.thread_time)
        for owner, name, label in (
            (one_sequence, "_product", "linears"),
            (one_sequence, "_mix", "attention"),
            (one_sequence, "_normed", "norms"),
            (one_sequence, "_divisors", "activation"),
            (one_sequence.Rotations, "rotate", "rotary"),
        )
    ]
    started, began = time.process_time(), time.thread_time()
    with one.on_one_core():
        one.compute()
    taken = time.thread_time() - began
    times["the rest"] = taken - sum(times.values())
    times["keys and values, copied by MLX's thread"] = time.process_time() - started - taken
    for each in undo:
        each()
    return times


def compare(one: Pass, rounds: int) -> None:
    """Print the median milliseconds of passes on one core and on two."""
    clocks: dict[str, list[tuple[float, float]]] = {"one core": [], "two cores": []}
    for number in range(2 * rounds):
        cores = list(clocks)[number % 2]
        before = time.perf_counter(), time.process_time()
        if cores == "one core":
            with one.on_one_core():
                one.compute()
        else:
            one.compute()
        clocks[cores].append((time.perf_counter() - before[0], time.process_time() - before[1]))
    print("\n| a pass on | by the clock | least | of the processor |\n| --- | ---: | ---: | ---: |")
    for cores, taken in clocks.items():
        wall, seconds = zip(*taken, strict=True)
        columns = statistics.median(wall), min(wall), statistics.median(seconds)
        print(f"| {cores} | " + " | ".join(f"{1000 * each:.0f}" for each in columns) + " |")


def main(turns: int, sentences: int) -> None:
    engine, brief = MeasuredEngine(), make_brief(0, sentences)
    transcript: list[str] = []
    seconds: list[float] = []
    times: Times = defaultdict(float)
    for number in range(turns):
        text, taken, times = turn(engine, number, messages_of(0, brief, transcript))
        seconds.append(taken)
        transcript += [text, REPLY]
    print("÷ first turn, by the clock:", " ".join(f"{each / seconds[0]:.3f}" for each in seconds[1:]))
    again = Pass(engine, messages_of(0, brief, transcript))
    inside = parts(again)
    for title, table in (("of the last turn", times), (f"of a pass over {len(again.new)} tokens", inside)):
        print(f"\n| part {title} | ms |\n| --- | ---: |")
        for label, each in sorted(table.items(), key=lambda item: -item[1]):
            print(f"| {label} | {1000 * each:.1f} |")
    compare(again, ROUNDS)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4, int(sys.argv[2]) if len(sys.argv) > 2 else 72)
