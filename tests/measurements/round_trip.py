"""Word error rate of each voice: one server synthesizes sentences, another transcribes them.

    python -m tests.measurements.round_trip SPEECH_URL TRANSCRIPTION_URL [SENTENCES] [VOICE …]

The reference is the speech's own `words`. Both sides are normalized as the engine normalizes texts, so that "3 May" and
"the third of May" are equal.
"""

from __future__ import annotations

import base64
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import jiwer

from tests.spoken_text import normalize

VOICES = ("af_heart", "af_bella", "am_michael", "am_fenrir", "bf_emma", "bm_george")

SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "Good evening, and welcome to tonight's debate.",
    "My opponent says that taxes should rise every year.",
    "I could not disagree more with that statement.",
    "Let us look at the evidence before we decide.",
    "Children learn languages faster than most adults.",
    "The train to London leaves from platform nine.",
    "She bought three apples, two pears and a lemon.",
    "Why would anyone build a bridge without a plan?",
    "Nobody expected the weather to change so quickly.",
    "Please close the window before you leave the room.",
    "The doctor told him to rest for a couple of weeks.",
    "Fresh bread smells wonderful early in the morning.",
    "They walked along the river until the sun went down.",
    "A good teacher listens more than she speaks.",
    "The museum is closed on Mondays and public holidays.",
    "What time does the meeting start tomorrow?",
    "He forgot his umbrella and got completely wet.",
    "The company plans to hire fifty people this summer.",
    "Music helps me to concentrate when I work.",
    "Our garden needs more water than the lawn next door.",
    "The old clock in the hall has stopped again.",
    "Thank you very much for your patience and support.",
    "It takes about an hour to drive to the coast.",
    "The children built a tall castle out of sand.",
    "Scientists discovered a new kind of butterfly.",
    "I would like a cup of coffee with a little milk.",
    "The second argument is weaker than the first one.",
    "Remember to save your work before you shut down.",
    "In the end, the voters will have the last word.",
)


def main(speech: str, transcription: str, count: int, voices: tuple[str, ...]) -> None:
    for voice in voices:
        with ThreadPoolExecutor(2) as pool:
            pairs = list(pool.map(partial(pair, speech, transcription, voice), SENTENCES[:count]))
        spoken, heard = map(list, zip(*pairs, strict=True))
        rate = jiwer.wer(spoken, heard)
        wrong = [f"{a!r} heard as {b!r}" for a, b in pairs if a != b]
        print(
            f"{voice}: WER {rate:.4f} over {sum(len(text.split()) for text in spoken)} words",
            *wrong,
            sep="\n    ",
            flush=True,
        )


def pair(speech: str, transcription: str, voice: str, text: str) -> tuple[str, str]:
    """The spoken and the transcribed words of one text, normalized."""
    asked = {"model": "any", "voice": voice, "input": text, "response_format": "wav", "include_visemes": True}
    said = httpx.post(f"{speech}/v1/audio/speech", json=asked, timeout=300).raise_for_status().json()
    sound = ("speech.wav", base64.b64decode(said["audio"]), "audio/wav")
    form = {"model": "any", "response_format": "json", "temperature": "0"}
    address = f"{transcription}/v1/audio/transcriptions"
    heard = httpx.post(address, data=form, files={"file": sound}, timeout=300).raise_for_status().json()["text"]
    return plain(" ".join(word["word"] for word in said["words"])), plain(heard)


def plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z]+(?:'[a-z]+)*", normalize(text).lower().replace("\u2019", "'").replace("-", " ")))


if __name__ == "__main__":
    urls, rest = sys.argv[1:3], sys.argv[3:]
    main(*urls, int(rest[0]) if rest else len(SENTENCES), tuple(rest[1:]) or VOICES)
