"""Drift of word times over minutes of speech: one server speaks a long text, and transcribes it with word times.

    python -m tests.measurements.measure_drift URL [MINUTES]

The text is that of `round_trip`, in a new order for each repetition, sent as one request. Prints, for each minute of
the sound, the median difference of a word's beginning between transcription and speech; the drift is that of the last
minute less that of the first.
"""

from __future__ import annotations

import base64
import random
import re
import statistics
import sys
from difflib import SequenceMatcher
from typing import Any

import httpx

from tests.measurements.round_trip import SENTENCES

SECONDS_PER_ROUND = 75
"""Of all sentences, about."""


def beginnings(spans: list[dict[str, Any]], start: str) -> list[tuple[str, float]]:
    """The words in lower case without marks, and when each begins."""
    found = ((re.sub(r"[^a-z0-9']", "", span["word"].lower()), span[start]) for span in spans)
    return [(word, begin) for word, begin in found if word]


def main(url: str, minutes: float) -> None:
    order = random.Random(0)
    rounds = max(1, round(60 * minutes / SECONDS_PER_ROUND))
    text = "\n\n".join(" ".join(order.sample(SENTENCES, len(SENTENCES))) for _ in range(rounds))
    body = {"model": "any", "input": text, "voice": "af_heart", "response_format": "wav", "include_visemes": True}
    print(f"speaking {len(text)} characters …", flush=True)
    said = httpx.post(f"{url}/v1/audio/speech", json=body, timeout=None).raise_for_status().json()
    print(f"transcribing {said['duration']:.1f} s …", flush=True)
    upload = ("speech.wav", base64.b64decode(said["audio"]), "audio/wav")
    asked = {"model": "any", "response_format": "verbose_json", "timestamp_granularities[]": "word"}
    answer = httpx.post(f"{url}/v1/audio/transcriptions", data=asked, files={"file": upload}, timeout=None)
    heard = beginnings(answer.raise_for_status().json()["words"], "start")
    spoken = beginnings(said["words"], "start_time")
    blocks = SequenceMatcher(None, [word for word, _ in spoken], [word for word, _ in heard], autojunk=False)
    pairs = [
        (spoken[match.a + at][1], heard[match.b + at][1] - spoken[match.a + at][1])
        for match in blocks.get_matching_blocks()
        for at in range(match.size)
    ]
    print(f"{len(pairs)} of {len(spoken)} words found again")
    medians = []
    for minute in range(int(said["duration"] // 60) + 1):
        differences = [difference for start, difference in pairs if minute * 60 <= start < minute * 60 + 60]
        if len(differences) > 20:
            medians.append(statistics.median(differences))
            print(f"minute {minute + 1}: {1000 * medians[-1]:+.0f} ms over {len(differences)} words")
    print(f"drift: {1000 * (medians[-1] - medians[0]):+.0f} ms over {said['duration']:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"), float(sys.argv[2]) if len(sys.argv) > 2 else 5)
