"""`python -m providers.engines FD`: be the engine at the other end of this socket."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

from providers.engines import platform
from providers.engines.runtime import serve
from providers.spec import ModelSpec

if TYPE_CHECKING:
    from providers.engines.engine import Engine


def make_engine(spec: ModelSpec) -> Engine:
    """The engine of the spec's family. Sets the process up for MLX, then imports it."""
    from providers.engines.unsupported import UnsupportedEngine

    prepared = platform.prepare()
    if prepared.warning:
        logging.getLogger(__name__).warning("%s", prepared.warning)
    if spec.model_type == "lm":
        from providers.engines.lm import LanguageEngine

        return LanguageEngine(prepared)
    return UnsupportedEngine()


def main() -> None:
    # A terminal's Ctrl-C reaches the whole process group; the server decides when its engines end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    level = os.environ.get("LOG_LEVEL", "INFO").upper()
    logging.basicConfig(stream=sys.stderr, level=level if level in logging.getLevelNamesMapping() else "INFO")
    serve(socket.socket(fileno=int(sys.argv[1])), make_engine)


if __name__ == "__main__":
    main()
