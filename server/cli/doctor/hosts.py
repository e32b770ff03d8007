"""Whether each host of a hostfile can be reached, and what is installed on it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import attrs

from server.cli._output import printable
from server.cli._running.probe import Finding
from server.cli.doctor.hostfile import Host

__all__ = ["examine"]

_CONNECT_SECONDS = 10
_SECONDS = 60.0
_SSH = ("ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_SECONDS}", "-o", "LogLevel=ERROR")
"""As MLX's launcher, which asks for passwords and hides messages; a server cannot answer, and a check shows them."""
_SSH_FAILED, _NOT_FOUND = 255, 127
_VERSIONS = """
import json, platform
from importlib.metadata import PackageNotFoundError, version
found = {"Python": platform.python_version()}
for name in ("mlx", "mlx-lm", "mlx-openai-server-lab"):
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        found[name] = None
print(json.dumps(found))
"""
_ADVICE = {
    "Could not resolve hostname": "write a name or address that this machine knows, or add it to ~/.ssh/config",
    "Permission denied": "let this machine log in without a password: `ssh-copy-id {name}`",
    "Host key verification failed": "connect once by hand to accept its key: `ssh {name}`",
    "Connection refused": "start its ssh server (macOS: Remote Login in the settings)",
    "timed out": "is it on, and in the same network?",
    "No route to host": "is it on, and in the same network?",
}


@attrs.frozen
class _Seen:
    """What a host answered: its versions, or why there are none."""

    versions: dict[str, str | None] = attrs.field(factory=dict)
    problem: str | None = None


def examine(hosts: Sequence[Host]) -> list[Finding]:
    """One finding per host, and one per version that differs from this machine's. Takes seconds, all hosts together."""
    ways = {host.name: host for host in reversed(hosts)}
    with ThreadPoolExecutor(len(ways)) as threads:
        seen = dict(zip(ways, threads.map(_look, ways.values()), strict=True))
    here = seen[hosts[0].name]
    return [finding for host in hosts for finding in _findings(host, seen[host.name], here)]


def _findings(host: Host, seen: _Seen, here: _Seen) -> list[Finding]:
    if seen.problem is not None:
        return [Finding(host.label, seen.problem, "problem")]
    where = "this machine" if host.is_here else "reached by ssh"
    known = ", ".join(f"{name} {version or 'missing'}" for name, version in seen.versions.items())
    found = [Finding(host.label, f"{where}: {known}")]
    for name, version in seen.versions.items():
        expected = here.versions.get(name)
        if version is None:
            found.append(Finding(host.label, f"{name} is not installed for {sys.executable}", "problem"))
        elif expected is not None and version != expected:
            same_line = name == "Python" and version.split(".")[:2] == expected.split(".")[:2]
            advice = f"{name} {version}, but {expected} on rank 0: install the same version"
            found.append(Finding(host.label, advice, "note" if same_line else "problem"))
    return found


def _look(host: Host) -> _Seen:
    program = [sys.executable, "-P", "-c", _VERSIONS]
    command = program if host.is_here else [*_SSH, host.name, shlex.join(program)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except FileNotFoundError:
        return _Seen(problem="ssh is not installed on this machine")
    except subprocess.TimeoutExpired:
        return _Seen(problem=f"no answer within {_SECONDS:.0f} seconds")
    if done.returncode != 0:
        return _Seen(problem=_reason(host, done.returncode, done.stderr))
    try:
        return _Seen(versions=json.loads(done.stdout.strip().splitlines()[-1]))
    except (ValueError, IndexError):
        return _Seen(problem="its answer cannot be read: its shell must print nothing when ssh runs a command")


def _reason(host: Host, status: int, stderr: str) -> str:
    said = printable(stderr.strip().splitlines()[-1]) if stderr.strip() else f"exit status {status}"
    if host.is_here:
        return said
    if status == _SSH_FAILED:
        for sign, advice in _ADVICE.items():
            if sign in stderr:
                return f"{said}; {advice.format(name=host.name)}"
        return said
    if status == _NOT_FOUND or "No such file" in stderr:
        return f"{sys.executable} is missing there: every host needs the server in the same folder"
    return f"{sys.executable} fails there: {said}"
