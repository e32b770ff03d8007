"""Hosts that can be reached, and hosts that cannot; the stand-in for ssh answers for them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from server.cli._running.probe import Finding
from server.cli.doctor import hosts
from server.cli.doctor.hostfile import Host

HERE = Host(rank=0, name="127.0.0.1", ips=(), is_here=True)


def remote(name: str) -> list[Finding]:
    """The findings of a second host."""
    found = hosts.examine([HERE, Host(rank=1, name=name, ips=(), is_here=False)])
    assert found[0].state == "ok"
    assert found[0].value.startswith("this machine: Python 3.")
    return found[1:]


def test_the_same_versions_by_ssh(ssh: Path) -> None:
    (found,) = remote("there")

    assert found.state == "ok"
    assert found.value.startswith("reached by ssh: Python 3.")
    assert ssh.read_text().startswith("-o BatchMode=yes -o ConnectTimeout=10 -o LogLevel=ERROR there ")


def test_loopback_needs_no_ssh(ssh: Path) -> None:
    found = hosts.examine([HERE, Host(rank=1, name="127.0.0.1", ips=(), is_here=True)])

    assert [finding.state for finding in found] == ["ok", "ok"]
    assert not ssh.exists()


@pytest.mark.parametrize(
    ("name", "said", "advice"),
    [
        ("nowhere", "Could not resolve hostname nowhere", "write a name or address that this machine knows"),
        ("locked", "Permission denied", "`ssh-copy-id locked`"),
        ("off", "Connection refused", "start its ssh server"),
        ("odd", "a message of its own", ""),
        ("bare", f"{sys.executable} is missing there", "in the same folder"),
        ("chatty", "its answer cannot be read", "must print nothing"),
    ],
)
@pytest.mark.usefixtures("ssh")
def test_a_host_that_does_not_answer_says_why_and_what_to_do(name: str, said: str, advice: str) -> None:
    (found,) = remote(name)

    assert (found.name, found.state) == (f"rank 1: {name}", "problem")
    assert said in found.value
    assert advice in found.value


@pytest.mark.usefixtures("ssh")
def test_other_versions_are_problems() -> None:
    first, *others = remote("old")

    assert first.value == "reached by ssh: Python 3.9.1, mlx 0.1.0, mlx-lm missing, mlx-openai-server-lab 0.0.1"
    assert [finding.state for finding in others] == ["problem"] * 4
    assert [finding.value.split()[0] for finding in others] == ["Python", "mlx", "mlx-lm", "mlx-openai-server-lab"]
    assert "on rank 0: install the same version" in others[1].value
    assert others[2].value == f"mlx-lm is not installed for {sys.executable}"


def test_a_machine_without_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    (found,) = remote("there")

    assert found.value == "ssh is not installed on this machine"


def test_a_host_that_hangs(ssh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (ssh.parent / "ssh").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(hosts, "_SECONDS", 2.0)

    (found,) = remote("there")

    assert found.value == "no answer within 2 seconds"
