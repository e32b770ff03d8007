"""When streamed speech begins, and what a player would miss: `python -m tests.measurements.measure_first_sound`.

Runs the engine itself. CLOCK=wall is for a quiet machine. Otherwise only the engine's own work moves the clock, at
`PARALLEL` processors' speed, so that it can be measured while other programs run. With PYTHONPATH it measures the
engine of another version of the repository.
"""

from __future__ import annotations

import os
import statistics
import time
from types import SimpleNamespace
from typing import Any

from providers.engines.process import platform

PARALLEL = float(os.environ.get("PARALLEL", "1.7"))
"""Processors that the engine is assumed to keep busy on an idle machine of two."""
WALL = os.environ.get("CLOCK") == "wall"
ROUNDS = int(os.environ.get("ROUNDS", "3"))
TEXTS = {
    "a sentence": "The quick brown fox jumps over the lazy dog near the river bank.",
    "three sentences": "My opponent says that taxes should rise every year. I could not disagree more with that "
    "statement. Let us look at the evidence before we decide what is right.",
    "a long sentence": "When the committee finally met on Thursday evening after weeks of delay, the chairman "
    "explained that the budget had been spent, that the new bridge would not be finished before winter, and that "
    "nobody in the room should expect an apology from him.",
    "without a comma": "Nobody who had seen the old harbour before the storm could have believed how quickly the whole "
    "town would be rebuilt by the people who lived there.",
}
CHAPTER = ("This is a sentence of eighty characters, which a reader repeats for a chapter.  " * 302)[:24_121]


def clock() -> float:
    return time.perf_counter() if WALL else time.process_time() / PARALLEL


class Receiver:
    """Plays what the engine sends as soon as it comes."""

    def __init__(self) -> None:
        self.began = clock()
        self.first = self.gaps = self.sound = 0.0

    def event(self, _: str, event: Any) -> None:
        if (audio := getattr(event, "audio", None)) is not None:
            now = clock() - self.began
            self.first = self.first or now
            self.gaps += max(0.0, now - self.first - self.gaps - self.sound)
            self.sound += len(audio) / 2 / 24_000

    def fail(self, _: str, error: Exception) -> None:
        raise error


def main() -> None:
    prepared = platform.prepare()
    from providers.engines.speech import engine as module
    from providers.spec import ModelSpec
    from providers.speech.types import SpeechRequest
    from providers.weights import pull

    module.time = SimpleNamespace(monotonic=clock)  # type: ignore[attr-defined]
    engine = module.SpeechEngine(prepared)
    spec = ModelSpec(name="kokoro", path=str(pull("kokoro-82m")), model_type="tts")
    engine.load(spec, lambda *_: None)
    streamed = {"streamed": True} if "streamed" in SpeechRequest.__struct_fields__ else {}

    def say(text: str, *, only_first: bool = False) -> tuple[float, float, float, float]:
        receiver = Receiver()
        request = SpeechRequest(id="r", text=text, voices=[("af_heart", 1.0)], **streamed)
        engine.submit(engine._job(request))
        while engine.busy and not (only_first and receiver.sound):
            engine.step(receiver)  # type: ignore[arg-type]
        engine.cancel("r")
        return receiver.first, clock() - receiver.began, receiver.sound, receiver.gaps

    print("| text | sound | first | first ÷ whole | seconds ÷ sound | gaps |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, text in TEXTS.items():
        said = [say(text) for _ in range(ROUNDS)]
        first, whole, sound, _ = (statistics.median(each) for each in zip(*said, strict=True))
        gaps = max(one[3] for one in said)
        print(f"| {name} | {sound:.2f} s | {first:.2f} s | {first / whole:.2f} | {whole / sound:.2f} | {gaps:.2f} s |")
    firsts = [say(CHAPTER, only_first=True)[0] for _ in range(ROUNDS)]
    print(f"| a chapter of {len(CHAPTER)} characters | - | {statistics.median(firsts):.2f} s | - | - | - |")


if __name__ == "__main__":
    main()
