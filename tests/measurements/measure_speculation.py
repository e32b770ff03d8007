"""Effect of prompt lookup on a single stream: `python -m tests.measurements.measure_speculation [COUNT …]`.

Runs the engine in this process with the embedded model, greedy: a text to repeat and a free one, token by token and
with proposals of each COUNT, in alternation. Prints tokens per second, the ratio, and the number of accepted proposals.
"""

from __future__ import annotations

import sys
import time

from providers.engines.process import platform

prepared = platform.prepare()

from providers.chat.types import ChatMessage, ChatPrompt, GenerationRequest, SamplingParams  # noqa: E402
from providers.engine_host.frames import Generate  # noqa: E402
from providers.engines.language.engine import LanguageEngine  # noqa: E402
from providers.engines.process.engine import Outbox  # noqa: E402
from providers.spec import ModelSpec  # noqa: E402

TOKENS = 64
PARAGRAPH = (
    "The harbour of Aldermouth was built in 1847 by the engineer Clara Whitcombe, after the storms of that winter. "
    "Its two breakwaters are 310 and 275 metres long and made of granite from the quarry at Penrock. Ships of "
    "up to 900 tons could lie there in any weather, and within ten years the town had doubled in size."
)
TEXTS = {
    "repeated": f"Repeat this paragraph word for word:\n\n{PARAGRAPH}",
    "free": "Write a short story about a lighthouse keeper who finds a letter.",
}


def tokens_per_second(engine: LanguageEngine, text: str) -> float:
    """Tokens per second of an answer, after its first token."""
    prompt = ChatPrompt(messages=[ChatMessage(role="user", content=text)])
    sampling = SamplingParams(temperature=0.0)
    request = GenerationRequest(id="one", prompt=prompt, sampling=sampling, max_tokens=TOKENS)
    engine.submit(engine.prepare(Generate(request=request)))
    out = Outbox(lambda report: None)
    while not engine._sequences or not next(iter(engine._sequences.values())).generated:
        engine.step(out)
    (sequence,) = engine._sequences.values()
    begun, first = time.perf_counter(), sequence.generated
    while engine.busy:
        engine.step(out)
    return (sequence.generated - first) / (time.perf_counter() - begun)


def main() -> None:
    engines: dict[int | None, LanguageEngine] = {}
    for count in (None, *([int(word) for word in sys.argv[1:]] or [8])):
        engines[count] = LanguageEngine(prepared)
        spec = ModelSpec(
            name="any",
            path="embedded:smollm2-135m-instruct",
            max_concurrency=1,
            prefix_cache_bytes=0,
            prompt_lookup=count,
        )
        engines[count].load(spec, lambda stage, fraction: None)
    for name, text in TEXTS.items():
        best = dict.fromkeys(engines, 0.0)
        for _ in range(2):
            for count, engine in engines.items():
                best[count] = max(best[count], tokens_per_second(engine, text))
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
