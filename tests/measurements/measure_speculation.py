"""Effect of prompt lookup on 1, 4 and 8 streams: `python -m tests.measurements.measure_speculation [COUNT …]`.

Runs engines in this process with the embedded model, greedy, token by token and with proposals of each COUNT, in
alternation. The streams repeat paragraphs word for word, write freely, or half of them do each. Prints tokens per
second of all streams, the ratio to token by token, and the number of accepted proposals. `--streams 8` measures only 8
streams, `--texts free` only one kind, `--tokens 128` longer answers, `--model MODEL` another model. `--processor`
counts the processor time of this process instead of the time that passes, for machines that do other work.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from providers.engines.process import platform

prepared = platform.prepare()

from providers.chat.types import ChatMessage, ChatPrompt, GenerationRequest, SamplingParams  # noqa: E402
from providers.engine_host.frames import Generate  # noqa: E402
from providers.engines.language.engine import LanguageEngine  # noqa: E402
from providers.engines.language.sequences import ActiveSequence  # noqa: E402
from providers.engines.process.engine import Outbox  # noqa: E402
from providers.spec import ModelSpec  # noqa: E402

PARAGRAPH = (
    "The harbour of Aldermouth was built in 18{number}7 by the engineer Clara Whitcombe, after the storms of that "
    "winter. Its two breakwaters are 310 and 275 metres long and made of granite from the quarry at Penrock. Ships of "
    "up to 900 tons could lie there in any weather, and within ten years the town had doubled in size."
)
REPEATED = f"Repeat this paragraph word for word:\n\n{PARAGRAPH}"
FREE = "Write a short story about a lighthouse keeper who finds {number} letters."
TEXTS = {"repeated": [REPEATED], "free": [FREE], "half and half": [REPEATED, FREE]}


def tokens_per_second(
    engine: LanguageEngine, texts: list[str], tokens: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Tokens per second of all answers, after the first token of each."""
    for number in range(len(texts)):
        prompt = ChatPrompt(messages=[ChatMessage(role="user", content=texts[number].format(number=number + 1))])
        sampling = SamplingParams(temperature=0.0)
        request = GenerationRequest(id=f"{number}", prompt=prompt, sampling=sampling, max_tokens=tokens)
        engine.submit(engine.prepare(Generate(request=request)))
    out = Outbox(lambda report: None)
    sequences: dict[int, ActiveSequence] = {}
    while len(sequences) < len(texts) or not all(each.tokens for each in sequences.values()):
        engine.step(out)
        sequences |= engine._sequences
    begun, first = clock(), sum(len(each.tokens) for each in sequences.values())
    while engine.busy:
        engine.step(out)
    return (sum(len(each.tokens) for each in sequences.values()) - first) / (clock() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=[8])
    parser.add_argument("--streams", nargs="+", type=int, default=[1, 4, 8])
    parser.add_argument("--texts", nargs="+", choices=[*TEXTS], default=[*TEXTS])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--model", default="embedded:smollm2-135m-instruct")
    parser.add_argument("--processor", action="store_true")
    options = parser.parse_args()
    engines: dict[int | None, LanguageEngine] = {}
    for count in (None, *options.counts):
        engines[count] = LanguageEngine(prepared)
        spec = ModelSpec(
            name="any",
            path=options.model,
            max_concurrency=max(options.streams),
            prefix_cache_bytes=0,
            prompt_lookup=count,
        )
        engines[count].load(spec, lambda stage, fraction: None)
    for streams in options.streams:
        for name in options.texts:
            kinds = TEXTS[name]
            if len(kinds) <= streams:
                texts = [kinds[number % len(kinds)] for number in range(streams)]
                compare(engines, f"{streams} streams, {name}", texts, options)


def compare(
    engines: dict[int | None, LanguageEngine], name: str, texts: list[str], options: argparse.Namespace
) -> None:
    clock = time.process_time if options.processor else time.perf_counter
    best = dict.fromkeys(engines, 0.0)
    for _ in range(options.rounds):
        for count, engine in engines.items():
            best[count] = max(best[count], tokens_per_second(engine, texts, options.tokens, clock))
    for count, engine in engines.items():
        line = f"{name}, {'token by token' if count is None else f'proposals of {count}'}: {best[count]:.1f} tok/s"
        if engine._speculation is not None:
            tally = engine._speculation.tally
            ratio = best[count] / best[None]
            line += f", {ratio:.2f} times as fast, {tally.accepted} of {tally.proposed} proposed tokens accepted"
            tally.accepted = tally.proposed = 0
        print(line, flush=True)


if __name__ == "__main__":
    main()
