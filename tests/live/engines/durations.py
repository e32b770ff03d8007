"""First half of the speech model, in its own process with a BLAS library: `python -m tests.live.engines.durations`.

Reads texts as JSON lines and answers each with its pieces: symbols, their owners, words, and the model's durations.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

__all__ = ["Durations"]


class Durations:
    """Client of that process."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", __name__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def pieces(self, text: str, language: str, voice: str, speed: float) -> list[dict[str, Any]]:
        """The pieces of a text, each with `symbols`, `owners`, `words` and `frames`: the arguments of `Layout`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([text, language, voice, speed]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process ended"
        pieces: list[dict[str, Any]] = json.loads(answer)
        return pieces

    def close(self) -> int:
        self._process.communicate()
        return self._process.returncode


def main() -> None:
    from providers.engines.process import platform

    platform.prepare()  # before MLX is imported
    import mlx.core as mx

    from providers.engines.speech.intake import SpeechIntake
    from providers.engines.speech.kokoro.model import load_kokoro
    from providers.engines.speech.languages.readers import Readers
    from providers.engines.speech.voices import Voices
    from providers.weights import pull

    mx.set_cache_limit(256 << 20)
    folder = pull("kokoro-82m")
    loaded, voices = load_kokoro(folder, on_cpu=True), Voices(folder)
    intake = SpeechIntake(Readers(loaded.vocabulary), voices, loaded.vocabulary)
    for line in sys.stdin:
        text, language, voice, speed = json.loads(line)
        answer = []
        for piece in intake.pieces(text, language):
            symbols, owners = piece.symbols
            tokens = [loaded.vocabulary[symbol] for symbol in symbols]
            frames = loaded.kokoro.durations(tokens, voices.style([(voice, 1.0)], len(tokens)), speed=speed)
            words = [chunk.word for chunk in piece.chunks]
            answer.append({"symbols": symbols, "owners": owners, "words": words, "frames": frames})
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
