"""HAProxy of this machine, or installed by its package manager, with the configuration of `examples/scaling`."""

from __future__ import annotations

import csv
import os
import socket
import subprocess
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs

from tests.debian import INSTALL_SECONDS, find_program
from tests.live.client import eventually

__all__ = ["INSTALL_SECONDS", "Balancer", "balancing", "find_haproxy"]

CONFIGURATION = Path(__file__).parents[2] / "examples" / "scaling" / "haproxy.cfg"


def find_haproxy() -> str | None:
    """Path of this machine's HAProxy, or of one that its package manager installs, where that is allowed."""
    return find_program("haproxy")


@attrs.frozen(kw_only=True)
class Balancer:
    """A running HAProxy."""

    url: str
    metrics_url: str
    log: Path
    _admin: Path

    def status(self, server: str) -> str:
        """The state of a server for the balancer: `UP`, `DOWN`, `UP 1/2`, `DRAIN`, …"""
        rows = csv.DictReader(self.command("show stat").removeprefix("# ").splitlines())
        return next(row["status"] for row in rows if row["pxname"] == "servers" and row["svname"] == server)

    def command(self, text: str) -> str:
        """Send a command to the admin socket. Returns the answer."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self._admin))
            admin.sendall(text.encode() + b"\n")
            return b"".join(iter(lambda: admin.recv(65536), b"")).decode()


@contextmanager
def balancing(haproxy: str, servers: Sequence[str], folder: Path) -> Generator[Balancer]:
    """Run HAProxy in front of two servers, given as `http://HOST:PORT`, for the block."""
    front, metrics = _free_port(), _free_port()
    log = folder / "haproxy.log"
    sockets = tempfile.TemporaryDirectory(prefix="haproxy-", dir="/tmp")  # a socket's path has at most 104 characters
    admin = Path(sockets.name, "admin.sock")
    variables = {
        "BIND": f"127.0.0.1:{front}",
        "METRICS": f"127.0.0.1:{metrics}",
        "ADMIN_SOCKET": str(admin),
        "LOG": "stderr",
        **{f"SERVER_{name}": url.removeprefix("http://") for name, url in zip("AB", servers, strict=True)},
    }
    with log.open("w") as written:
        # Fewer connections than the file allows: a test that imports mlx-lm has at most 4,096 descriptors from then on.
        process = subprocess.Popen(
            [haproxy, "-db", "-n", "1000", "-f", str(CONFIGURATION)], env={**os.environ, **variables}, stderr=written
        )
    try:
        eventually(lambda: admin.exists() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield Balancer(
            url=f"http://127.0.0.1:{front}", metrics_url=f"http://127.0.0.1:{metrics}/metrics", log=log, admin=admin
        )
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(10)
        sockets.cleanup()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
