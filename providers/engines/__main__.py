"""`python -m providers.engines FD`: be the engine at the other end of this socket."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import otel
from providers.engines.process import platform
from providers.engines.process.runtime import serve
from providers.spec import ModelSpec

if TYPE_CHECKING:
    from providers.engines.process.engine import Engine


def make_engine(spec: ModelSpec) -> Engine:
    """The engine of the spec's family. Sets the process up for MLX, then imports it."""
    from providers.engines.process.unsupported import UnsupportedEngine

    _configure_logging(engine=spec.name)
    # transformers advises to install torch on every import.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    prepared = platform.prepare()
    if prepared.warning:
        logging.getLogger(__name__).warning("%s", prepared.warning)
    if spec.model_type == "lm":
        from providers.engines.language.engine import LanguageEngine

        return LanguageEngine(prepared)
    if spec.model_type == "embeddings":
        try:
            from providers.engines.embeddings.engine import EmbeddingEngine
        except ModuleNotFoundError as error:
            return UnsupportedEngine(f"the extra `embeddings` is not installed ({error})")
        return EmbeddingEngine(prepared)
    if spec.model_type == "tts":
        from providers.engines.speech.engine import SpeechEngine

        return SpeechEngine(prepared)
    if spec.model_type == "whisper":
        try:
            from providers.engines.transcription.engine import WhisperEngine
        except ModuleNotFoundError as error:
            return UnsupportedEngine(f"the extra `transcription` is not installed ({error})")
        return WhisperEngine(prepared)
    return UnsupportedEngine()


def _configure_logging(**fields: str) -> None:
    """Write the log as the server does: it says in the environment how."""
    level = os.environ.get("LOG_LEVEL", "info")
    otel.configure_logging(level, "json" if os.environ.get("LOG_FORMAT") == "json" else "console", **fields)


def main() -> None:
    # A terminal's Ctrl-C reaches the whole process group; the server decides when its engines end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _configure_logging()
    serve(socket.socket(fileno=int(sys.argv[1])), make_engine)


if __name__ == "__main__":
    main()
