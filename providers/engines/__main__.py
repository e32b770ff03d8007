"""`python -m providers.engines FD`: the engine at the other end of this socket.

`python -m providers.engines PATH`: one of several ranks, started together by MLX's launcher. Rank 0 connects to PATH.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import attrs

import otel
from providers.capabilities import MODALITIES, load
from providers.engines.group.ranks import ALONE, Ranks
from providers.engines.process import platform
from providers.engines.process.engine import Engine, EngineLoadError
from providers.engines.process.isolation import close_inherited, die_first_without_memory, die_with_parent
from providers.engines.process.runtime import serve
from providers.engines.process.transformers_internals import scan_models_once
from providers.spec import ModelSpec
from providers.uncollected import uncollected


def make_engine(spec: ModelSpec, ranks: Ranks = ALONE) -> Engine:
    """The engine of the spec's model type. Prepares the process for MLX before it imports the engine.

    Raises:
        EngineLoadError: there is none, or its extra is incomplete.
    """
    _configure_logging(engine=spec.name)
    if spec.prefix_cache_dir is None:  # else it still has prompts to write when the server dies
        die_with_parent()
    # transformers advises to install torch on every import.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    prepared = attrs.evolve(platform.prepare(), ranks=ranks)
    if prepared.warning:
        logging.getLogger(__name__).warning("%s", prepared.warning)
    with uncollected():
        return _made(spec, prepared)


def _made(spec: ModelSpec, prepared: platform.Platform) -> Engine:
    """The engine, imported now. Raises as `make_engine`."""
    ranks = prepared.ranks
    row = MODALITIES.get(spec.model_type)
    if row is None or row.engine is None:
        raise _unserved(spec, "it has no engine in this version")
    if prepared.device == "cpu" and ranks.size == 1:  # of several, each loads only its part
        _widen_ahead(spec)
    scan_models_once()  # mlx-lm imports transformers
    try:
        make: Callable[[platform.Platform], Engine] = load(row.engine)
    except ModuleNotFoundError as error:
        if row.extra is None:
            raise
        reason = f"the extra `{row.extra.name}` is incomplete ({error}): {row.extra.command}"
        raise _unserved(spec, reason) from error
    return make(prepared)


def _widen_ahead(spec: ModelSpec) -> None:
    """Start the longest part of loading a language model before the imports, which take as long."""
    from providers.engines.cpu import ahead  # it imports mlx, for which the process is prepared now

    ahead.begin(spec)


def _unserved(spec: ModelSpec, reason: str) -> EngineLoadError:
    return EngineLoadError(f"model type {spec.model_type!r} cannot be served: {reason}")


def _configure_logging(**fields: str) -> None:
    """Log as the server does: it passes its level, format and file in the environment."""
    level, file = os.environ.get("LOG_LEVEL", "info"), os.environ.get("LOG_FILE") or None
    otel.configure_logging(level, "json" if os.environ.get("LOG_FORMAT") == "json" else "console", file, **fields)


def main() -> None:
    # A terminal's Ctrl-C reaches the whole process group; the server decides when its engines end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    where = sys.argv[1]
    link = int(where) if where.isdecimal() else None
    close_inherited(link)
    die_first_without_memory()
    _configure_logging()
    if link is not None:
        serve(socket.socket(fileno=link), make_engine)
    _be_one_of_several(where)


def _be_one_of_several(path: str) -> NoReturn:
    die_with_parent()
    platform.prepare()
    from providers.engines.group.joining import Follower, join  # it imports mlx, for which the process is prepared now

    ranks = join()
    make = partial(make_engine, ranks=ranks)
    if isinstance(ranks, Follower):
        from providers.engines.group.following import follow

        follow(ranks, make)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    serve(connection, make, ranks)


if __name__ == "__main__":
    main()
