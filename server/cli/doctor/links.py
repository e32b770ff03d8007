"""The links between ranks: connected, and measured by sums over all of them."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import attrs

from server.cli._output import printable
from server.cli.doctor.hostfile import Hostfile

__all__ = ["LinksFailed", "Sum", "measure"]

_LAUNCHER = "providers.engines.group.launch"
_PROGRAM = "providers.engines.group.link_bench"
_CONNECT_SECONDS, _SUM_SECONDS = 60.0, 300.0
"""Time without a line after which the ranks count as hung, until they are connected and while they sum."""
_END_SECONDS = 5.0

_ERROR = re.compile(r"^(?:[\w.]*(?:Error|Exception): |.*\berror: )(.+)$", re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LOST = "connection to a peer was lost"
"""What the other ranks say when one ends: only a consequence."""
_ADVICE = {
    "Couldn't bind socket": "a rank's port is taken on its host, or an address of `ips` is not its own",
    "Couldn't connect": "a host is not reached at its address of `ips`: look for a firewall, or another network",
    _LOST: "a rank ended, or the network between them was interrupted",
    "Cannot initialize nccl": "MLX has no CUDA on that host: `pip install 'mlx-openai-server-lab[cuda]'`",
    "Cannot initialize jaccl": "it needs macOS 26.2, Thunderbolt 5 and RDMA switched on on every host",
    "Cannot initialize mpi": "install Open MPI on every host",
    "'mpirun'": "install Open MPI on every host",
    "No module named": "install the server on every host, in the same folder",
}


class LinksFailed(Exception):
    """Raised when the ranks did not get as far as a measurement; the message says what to do."""


@attrs.frozen
class Sum:
    """A sum over all ranks."""

    size: int
    """Bytes per rank."""
    seconds: float
    """Median."""
    count: int


def measure(hostfile: Hostfile, progress: Callable[[str], None]) -> list[Sum]:
    """Start the ranks as an engine's are, and let them sum arrays. Their processes are gone afterwards.

    Raises:
        LinksFailed: a rank does not start, or they do not reach each other.
    """
    # Ranks of this machine put their files there, which MLX's launcher leaves behind.
    with tempfile.TemporaryDirectory(prefix="mlx-doctor-") as folder:
        path = Path(folder, "hosts.json")
        path.write_text(json.dumps(hostfile.content))
        progress(f"connecting {len(hostfile.hosts)} ranks ({hostfile.backend})")
        with Path(folder, "log").open("w+b") as log, _ranks(hostfile, path, log) as ranks:
            return _sums(ranks, log, progress)


def _sums(ranks: subprocess.Popen[bytes], log: IO[bytes], progress: Callable[[str], None]) -> list[Sum]:
    found: list[Sum] = []
    lines = _lines(ranks)
    patience = _CONNECT_SECONDS
    while True:
        try:
            line = lines.get(timeout=patience)
        except queue.Empty:
            raise LinksFailed(_explain(log) or f"no answer of the ranks within {patience:.0f} seconds") from None
        if line is None:
            break
        fields = _fields(line)
        if fields is None:
            log.write(line)
        elif "ranks" in fields:
            patience = _SUM_SECONDS
            progress("measuring the latency")
        else:
            found.append(Sum(int(fields["bytes"]), float(fields["seconds"]), int(fields["sums"])))
            progress("measuring the bandwidth")
    if len(found) < 2:
        raise LinksFailed(_explain(log) or "the ranks ended without a word")
    return found


@contextlib.contextmanager
def _ranks(hostfile: Hostfile, path: Path, log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    program = [sys.executable, "-P", "-m", _PROGRAM, hostfile.backend]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", _LAUNCHER, str(len(hostfile.hosts)), str(path), *program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        env={**os.environ, "TMPDIR": str(path.parent)},
        # In a session of its own, Ctrl-C reaches this process only, which ends all of them.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the launcher and its ranks: those of this machine are in its group, ssh ends the others."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, kind)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
    assert process.stdout is not None
    with contextlib.suppress(OSError):
        process.stdout.close()


def _lines(process: subprocess.Popen[bytes]) -> queue.SimpleQueue[bytes | None]:
    """The lines of the launcher's output, then None."""
    found: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            found.put(line)
        found.put(None)

    threading.Thread(target=read, daemon=True, name="ranks").start()
    return found


def _fields(line: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def _explain(log: IO[bytes]) -> str | None:
    """The first error of a rank or of the launcher, and what to do about it; None: there is none."""
    log.seek(0)
    return explain(log.read().decode(errors="replace"))


def explain(text: str) -> str | None:
    text = _COLOUR.sub("", text).replace("\r", "")
    found = [match[1] for match in _ERROR.finditer(text)]
    found = found or [line for line in reversed(text.splitlines()) if line.strip() and not line.startswith("[WARN]")]
    if not found:
        return None
    error = printable(next((each for each in found if _LOST not in each), found[0]).strip().removesuffix("."))
    advice = next((advice for sign, advice in _ADVICE.items() if sign in error), None)
    return error if advice is None else f"{error}; {advice}"
