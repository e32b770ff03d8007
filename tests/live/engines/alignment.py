"""Compare when words are audible with the reported times; `python -m tests.live.engines.alignment` measures all voices.

`LEAD` in `providers/engines/speech/timing.py` was set from `CALIBRATION`, spoken by `CALIBRATION_VOICES`: without it,
words are audible 40, 50 and 45 ms before their first frame (the median of each voice), and two frames of 25 ms are the
nearest to that. The test checks `HELD_OUT` and its voices, which share no word and no voice with the calibration.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from providers.speech.types import SAMPLE_RATE, WordSpan

__all__ = ["CALIBRATION", "CALIBRATION_VOICES", "HELD_OUT", "HELD_OUT_VOICES", "errors", "summary"]

# With commas, because the start of a word is a rise in energy only after a pause. Plosives first, then vowels.
CALIBRATION_VOICES = ("af_heart", "am_michael", "bf_emma")
CALIBRATION = (
    "Paper, table, cat, ball, dog, garden, pen, tiger, car, book, door, gold, pocket, tree, kitchen, bread, dinner, "
    "green, picture, tooth, kettle, bottle, doctor, ghost, port, tea.",
    "Apple, eagle, orange, igloo, under, otter, actor, east, only, ugly, engine, ice, open, uncle, end, art, ocean, "
    "iron, elbow, arm, animal, even, oil, umbrella.",
)
HELD_OUT_VOICES = ("af_bella", "am_fenrir", "bm_george")
HELD_OUT = (
    "Pencil, tomato, cake, button, desk, guitar, pepper, tunnel, candle, basket, dinosaur, goat, pigeon, toast, "
    "carpet, bridge, dollar, grape, planet, tower, cabbage, butter, dancer, glove, pillow.",
    "Acid, evening, office, inch, onion, olive, address, eat, over, other, envelope, island, owner, usher, edge, army, "
    "oak, idea, elephant, aunt, answer, easy, oyster, artist, airport.",
)

WINDOW = SAMPLE_RATE // 200
"""Samples in a window of 5 ms."""
REACH = 50
"""Windows around the reported time that are searched for an onset."""
QUIET = 8
"""Windows of silence before an onset: a word that follows the previous one without a pause has none."""


def errors(audio: bytes, words: Iterable[WordSpan]) -> list[float]:
    """Milliseconds from each word's reported start to the nearest onset, where there is one; from 16-bit samples."""
    samples = np.frombuffer(audio, "<i2").astype(np.float32)
    energy = np.sqrt(np.mean(samples[: len(samples) // WINDOW * WINDOW].reshape(-1, WINDOW) ** 2, axis=1))
    loud = energy > 0.03 * np.percentile(energy, 99)
    found = []
    for word in words:
        reported = word.start // WINDOW
        onsets = [
            at
            for at in range(max(QUIET, reported - REACH), min(len(loud) - 4, reported + REACH))
            if loud[at] and loud[at : at + 4].sum() >= 3 and not loud[at - QUIET : at].any()
        ]
        if onsets:
            nearest = min(onsets, key=lambda at: abs(at - reported))
            found.append((nearest * WINDOW - word.start) * 1000 / SAMPLE_RATE)
    return found


def main() -> None:
    from tests.live.engines.speaker import Speaker

    speaker = Speaker()
    speaker.socket.settimeout(600)
    speaker.load("embedded:kokoro-82m", model_type="tts")
    for name, texts, voices in (
        ("calibration", CALIBRATION, CALIBRATION_VOICES),
        ("held out", HELD_OUT, HELD_OUT_VOICES),
    ):
        every: list[float] = []
        for voice in voices:
            said = [speaker.spoken(f"{voice}-{number}", text, voice) for number, text in enumerate(texts)]
            every += (found := [error for one in said for error in errors(one.audio, one.words)])
            print(f"{name}, {voice}: {summary(found)}", flush=True)
        print(f"{name}, all: {summary(every)}")
    speaker.close()


def summary(found: list[float]) -> str:
    return (
        f"{len(found)} onsets, median error {np.median(np.abs(found)):.1f} ms, "
        f"90 % within {np.percentile(np.abs(found), 90):.0f} ms, bias {np.median(found):.1f} ms"
    )


if __name__ == "__main__":
    main()
