"""Reasons why ranks do not connect, from what MLX's launcher and the ranks print."""

from __future__ import annotations

import pytest

from server.cli.doctor.links import explain

TAKEN = """\
\x1b[33m[WARN] Node with rank 1 exited with code 1 \x1b[0m
[ring] Too many send/recv errors. Failing pending tasks...
Traceback (most recent call last):
  File "program.py", line 12, in <module>
    mx.eval(mx.distributed.all_sum(mx.ones(1)))
RuntimeError: [ring] connection to a peer was lost
Traceback (most recent call last):
  File "program.py", line 4, in <module>
    mx.distributed.init(strict=True, backend="ring")
RuntimeError: [ring] Couldn't bind socket (error: 98)
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TAKEN, "[ring] Couldn't bind socket (error: 98); a rank's port is taken on its host"),
        ("RuntimeError: [ring] connection to a peer was lost\r\n", "lost; a rank ended, or the network"),
        ("RuntimeError: [ring] Couldn't connect (error: 111)\n", "look for a firewall"),
        ("RuntimeError: Cannot initialize nccl distributed backend.\n", "MLX has no CUDA on that host"),
        ("RuntimeError: Cannot initialize jaccl distributed backend.\n", "RDMA switched on"),
        ("subprocess.CalledProcessError: Command '['which', 'mpirun']' returned 1.\n", "install Open MPI"),
        (
            "usage: -c [-h]\n-c: error: The hostfile is malformed: RDMA device of self should be null\n",
            "The hostfile is",
        ),
        (
            "/python: No module named providers\n[WARN] Node with rank 1 was killed\n",
            "providers; install the server on",
        ),
        ("ssh: connect to host b port 22: Connection refused\n", "ssh: connect to host b port 22"),
    ],
)
def test_the_cause_is_named_with_advice(text: str, expected: str) -> None:
    assert expected in (explain(text) or "")


def test_silence_has_no_cause() -> None:
    assert explain("\n[WARN] Node with rank 1 was killed\n") is None
