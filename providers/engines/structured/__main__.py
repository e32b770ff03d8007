"""`python -m providers.engines.structured FD`: writes grammars for the engine at the other end of this socket."""

from __future__ import annotations

import contextlib
import logging
import resource
import signal
import socket
import sys
from pathlib import Path

import msgspec

from providers.engines.process.isolation import die_first_without_memory, die_with_parent
from providers.engines.structured.constraint import Constraint
from providers.engines.structured.writer import GrammarWriter
from providers.engines.structured.writing import Refused, Setup, Task, Written, receive, send
from providers.errors import InternalError, ServiceError

logger = logging.getLogger(__name__)

_MEMORY = 1 << 30
"""Bytes that compilations may take (Linux). Native code without memory ends the process."""


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    die_first_without_memory()
    die_with_parent()  # A compilation notices no closed socket.
    logging.basicConfig(level=logging.WARNING)
    link = socket.socket(fileno=int(sys.argv[1]))
    with contextlib.suppress(EOFError, OSError):
        _serve(link)


def _serve(link: socket.socket) -> None:
    setup = msgspec.json.decode(receive(link), type=Setup)
    writer = GrammarWriter(setup.table, setup.search_seconds)
    _ = setup.table.llg
    _limit_memory()
    send(link, b"")
    while True:
        task = msgspec.json.decode(receive(link), type=Task)
        # The kernel ends this process when the time is over, whatever native code it is in.
        signal.setitimer(signal.ITIMER_REAL, task.seconds)
        answer = _answer(writer, task)
        signal.setitimer(signal.ITIMER_REAL, 0)
        send(link, msgspec.json.encode(answer))


def _answer(writer: GrammarWriter, task: Task) -> Written | Refused:
    try:
        return Written(writer.write(msgspec.json.decode(task.constraint, type=Constraint))[0])
    except ServiceError as error:
        return Refused(**error.to_fields())
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic in native code is not an Exception
        logger.exception("a grammar could not be written")
        return Refused(**InternalError.unforeseen().to_fields())


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + _MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
