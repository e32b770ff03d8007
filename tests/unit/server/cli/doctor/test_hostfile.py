"""What is found in a hostfile before anything is started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.cli.doctor import hostfile
from server.cli.doctor.hostfile import BadHostfile, check, read

Write = Callable[..., Path]
HERE = ("127.0.0.1", ["127.0.0.1"])


def values(file: Path, backend: str | None = "ring") -> list[tuple[str, str]]:
    return [(finding.name, finding.value) for finding in check(read(file, backend))]


def test_two_ranks_of_this_machine(write: Write) -> None:
    file = write(HERE, HERE, backend="ring")

    found = read(file, None)

    assert [(host.rank, host.name, host.ips, host.is_here) for host in found.hosts] == [
        (0, "127.0.0.1", ("127.0.0.1",), True),
        (1, "127.0.0.1", ("127.0.0.1",), True),
    ]
    assert found.backend == "ring"
    assert values(file) == [("entries", "2 ranks, backend ring")]


def test_mlx_s_older_format_is_a_list(write: Write, tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    entry = '{"ssh": "%s", "ips": ["127.0.0.1"]}'
    file.write_text(f"[{', '.join(entry % name for name in ('a', 'a', 'b'))}]")

    found = read(file, None)

    assert found.backend == "ring"
    # Rank 0 has the server's socket: its host needs no ssh, whatever its name.
    assert [host.is_here for host in found.hosts] == [True, True, False]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "doesn't exist"),
        ("{", "Failed to parse hostfile .*Expecting property name"),
        ('{"backend": "ring"}', r"Failed to parse hostfile .*'hosts'"),
        ('[{"ips": ["127.0.0.1"]}, {"ssh": "b"}]', r"Failed to parse hostfile .*'ssh'"),
        ('[{"ssh": "a"}]', "1 hosts; a model is divided among 2 or more"),
        ('{"backend": "smoke", "hosts": [{"ssh": "a"}, {"ssh": "b"}]}', "backend 'smoke'; MLX has ring, jaccl"),
        ('{"backend": "ring", "hosts": [{"ssh": 1}, {"ssh": "b"}]}', "host 0: `ssh` must be a name"),
        (
            '{"backend": "ring", "hosts": [{"ssh": "a", "ips": "1.2.3.4"}, {"ssh": "b"}]}',
            r"host 0 \(a\): `ips` must be",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "hosts.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(BadHostfile, match=message):
        read(file, None)


def test_the_option_replaces_the_file_s_backend(write: Write) -> None:
    assert read(write(HERE, HERE, backend="mpi"), "ring").content["backend"] == "ring"


@pytest.mark.parametrize(
    ("backend", "faulty"), [("ring", ["rank 0: a", "rank 1: b"]), ("nccl", ["rank 0: a"]), ("mpi", [])]
)
def test_addresses_are_asked_for_where_the_backend_needs_them(write: Write, backend: str, faulty: list[str]) -> None:
    found = values(write(("a", []), ("b", [])), backend)

    if faulty:
        assert [name for name, _ in found] == faulty
        assert all("no `ips`" in value and '"ips": ["192.168.1.2"]' in value for _, value in found)
    else:
        assert found == [("entries", "2 ranks, backend mpi")]


@pytest.mark.parametrize(
    ("hosts", "name", "value"),
    [
        ([HERE, ("127.0.0.1", ["no address at all"])], "rank 1: 127.0.0.1", "'no address at all' is no address"),
        ([("a", ["203.0.113.7"]), HERE], "rank 0: a", "203.0.113.7 is not an address of this machine, and rank 0 runs"),
        ([HERE, ("127.0.0.1", ["203.0.113.7"])], "rank 1: 127.0.0.1", "203.0.113.7 is not an address of this machine"),
        ([HERE, ("b", ["203.0.113.7"])], "rank 0: 127.0.0.1", "127.0.0.1 is reached from the same machine only"),
    ],
)
def test_an_address_that_cannot_work_is_named(write: Write, hosts: list[Any], name: str, value: str) -> None:
    ((found_name, found_value),) = values(write(*hosts))

    assert found_name == name
    assert value in found_value


def test_an_mlx_that_does_not_run_is_reported(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostfile.sys, "executable", "/no/python")

    with pytest.raises(BadHostfile, match="MLX does not run here"):
        read(write(HERE, HERE), None)
