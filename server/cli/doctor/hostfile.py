"""A hostfile, and what can be found wrong with it before anything is started."""

from __future__ import annotations

import errno
import ipaddress
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs

from server.cli._running.probe import Finding

__all__ = ["BACKENDS", "BadHostfile", "Host", "Hostfile", "check", "read"]

BACKENDS = ("ring", "jaccl", "jaccl-ring", "nccl", "mpi")
_READ_SECONDS = 60.0
_LOOPBACK = "127.0.0.1"
_EXAMPLE = '"ips": ["192.168.1.2"]'


class BadHostfile(Exception):
    """Raised when there are no hosts to check; the message is for the terminal."""


@attrs.frozen(kw_only=True)
class Host:
    """One entry: a rank of its own, though several may run on the same machine."""

    rank: int
    name: str
    """As ssh knows it."""
    ips: tuple[str, ...]
    is_here: bool
    """Whether the rank is started without ssh: on the host of rank 0, which has the server's socket, or on loopback."""

    @property
    def label(self) -> str:
        return f"rank {self.rank}: {self.name}"


@attrs.frozen(kw_only=True)
class Hostfile:
    hosts: tuple[Host, ...]
    backend: str
    content: dict[str, Any]
    """In MLX's format."""


def read(path: Path, backend: str | None) -> Hostfile:
    """The hostfile as MLX reads it. `backend`: instead of the file's.

    Raises:
        BadHostfile: MLX cannot read it, or it has fewer than two hosts.
    """
    command = [sys.executable, "-P", "-m", "providers.engines.group.hostfile", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_READ_SECONDS, check=False)
        content = json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise BadHostfile(f"MLX does not run here: {error}; `mlx-openai-server doctor` shows why") from error
    if content is None:
        said = (done.stderr.strip().splitlines() or ["MLX does not run here; `mlx-openai-server doctor` shows why"])[-1]
        raise BadHostfile(said)
    here = {_LOOPBACK, *(entry["ssh"] for entry in content["hosts"][:1])}
    hosts = tuple(_host(rank, entry, here) for rank, entry in enumerate(content["hosts"]))
    if len(hosts) < 2:
        raise BadHostfile(f"{path}: {len(hosts)} hosts; a model is divided among 2 or more")
    content["backend"] = backend or content["backend"]
    if content["backend"] not in BACKENDS:
        raise BadHostfile(f"{path}: backend {content['backend']!r}; MLX has {', '.join(BACKENDS)}")
    return Hostfile(hosts=hosts, backend=content["backend"], content=content)


def _host(rank: int, entry: dict[str, Any], here: set[str]) -> Host:
    name, ips = entry["ssh"], entry["ips"]
    if not isinstance(name, str) or not name:
        raise BadHostfile(f"host {rank}: `ssh` must be a name or an address, not {json.dumps(name)}")
    if not isinstance(ips, list) or not all(isinstance(ip, str) for ip in ips):
        raise BadHostfile(f"host {rank} ({name}): `ips` must be a list of addresses, such as {_EXAMPLE}")
    return Host(rank=rank, name=name, ips=tuple(ips), is_here=name in here)


def check(hostfile: Hostfile) -> list[Finding]:
    """What is wrong with the entries; a single good finding if nothing is."""
    problems = [problem for host in hostfile.hosts for problem in _problems(host, hostfile)]
    if problems:
        return problems
    return [Finding("entries", f"{len(hostfile.hosts)} ranks, backend {hostfile.backend}")]


def _problems(host: Host, hostfile: Hostfile) -> list[Finding]:
    backend = hostfile.backend
    if not host.ips:
        if backend == "ring" or (host.rank == 0 and backend != "mpi"):
            needs = "every rank needs" if backend == "ring" else "rank 0 needs"
            advice = f"{needs} an address that the other ranks reach, such as {_EXAMPLE}"
            return [Finding(host.label, f"no `ips`: with {backend}, {advice}", "problem")]
        return []
    remote = not all(other.is_here for other in hostfile.hosts)
    found = [_wrong_with(ip, host, remote) for ip in host.ips]
    return [Finding(host.label, wrong, "problem") for wrong in found if wrong is not None]


def _wrong_with(ip: str, host: Host, remote: bool) -> str | None:
    try:
        address = socket.getaddrinfo(ip, None, type=socket.SOCK_STREAM)[0][4][0]
    except OSError:
        return f"{ip!r} is no address, and no name that this machine knows"
    if remote and ipaddress.ip_address(address).is_loopback:
        return f"{ip} is reached from the same machine only; write the address that the other hosts reach"
    if host.is_here and not _is_own(str(address)):
        which = "rank 0 runs on the machine of the server" if host.rank == 0 else f"{host.name} is this machine"
        return f"{ip} is not an address of this machine, and {which}"
    return None


def _is_own(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True
