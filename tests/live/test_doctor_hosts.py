"""`doctor --hostfile` with two ranks on loopback: measured, and interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.live.client import PATIENCE, eventually
from tests.live.harness import COMMAND, assert_gone, clean_environment


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    loopback = {"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}
    file = tmp_path / "hosts.json"
    file.write_text(json.dumps({"backend": "ring", "hosts": [loopback, loopback]}))
    return [str(COMMAND), "doctor", "--hostfile", str(file)]


def test_two_ranks_are_measured(command: list[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=2 * PATIENCE, env=clean_environment(), check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert ["ok", "entries", "2 ranks, backend ring"] in lines
    assert [line[:2] for line in lines].count(["ok", "rank"]) == 2
    found = {line[1]: line[2] for line in lines if line[:1] == ["ok"]}
    assert found["latency"].endswith("µs for a sum of 4 bytes over all ranks")
    assert "ms for a sum of 67 MB over them" in found["bandwidth"]


def test_an_interrupt_ends_the_ranks(command: list[str], tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    doctor = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**clean_environment(), "TMPDIR": str(temporary)},
    )

    started: list[psutil.Process] = []

    def both_run() -> bool:
        started[:] = psutil.Process(doctor.pid).children(recursive=True)
        return sum("link_bench" in command_of(each) for each in started) == 2

    eventually(both_run)
    doctor.send_signal(signal.SIGINT)

    assert doctor.communicate(timeout=PATIENCE)[1] == "Error: interrupted\n"
    assert doctor.returncode == 130
    assert_gone(started)
    assert list(temporary.iterdir()) == []


def command_of(process: psutil.Process) -> str:
    """The program and its first arguments; a launcher's include those of the ranks, further on. Empty: it has ended."""
    try:
        return " ".join(process.cmdline()[:4])
    except psutil.Error:
        return ""
