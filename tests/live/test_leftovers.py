"""No ending of a server or of a command leaves a file, a shared memory, a socket or a process behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from tests.live.client import PATIENCE, eventually
from tests.live.harness import COMMAND, STOP_SECONDS, LiveServer, assert_gone, clean_environment

Launch = Callable[..., LiveServer]


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder of temporary files, empty so far."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def shared_memory() -> set[str]:
    """Names of semaphores and shared memory, where the system shows them as files."""
    return set(os.listdir("/dev/shm")) if sys.platform == "linux" else set()


def terminate(server: LiveServer) -> None:
    server.process.send_signal(signal.SIGTERM)


def interrupt(server: LiveServer) -> None:
    """Ctrl-C reaches every process of the foreground."""
    for process in [*server.descendants(), server.process]:
        process.send_signal(signal.SIGINT)


def interrupt_twice(server: LiveServer) -> None:
    server.worker().suspend()  # so that it takes the second
    server.process.send_signal(signal.SIGINT)
    server.process.send_signal(signal.SIGINT)


def kill_worker(server: LiveServer) -> None:
    server.worker().kill()


def kill_main(server: LiveServer) -> None:
    server.process.kill()


ENDINGS = {
    terminate: 0,
    interrupt: 0,
    interrupt_twice: 1,
    kill_worker: 1,
    kill_main: -signal.SIGKILL,
}
"""What ends a server, and its exit status."""


@pytest.mark.parametrize("end", ENDINGS, ids=lambda end: end.__name__)
def test_no_ending_of_a_server_leaves_anything(
    launch: Launch, temporary: Path, end: Callable[[LiveServer], None]
) -> None:
    before = shared_memory()
    server = launch("--model-type", "echo", env={"TMPDIR": str(temporary)})
    family = server.descendants()
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        stored = client.post("/v1/files", files={"file": ("a.txt", b"Words.")}, data={"purpose": "assistants"})
        assert stored.status_code == 200
        assert [*temporary.iterdir()]

        end(server)

        assert server.process.wait(STOP_SECONDS) == ENDINGS[end]
    assert_gone(family)
    eventually(lambda: not [*temporary.iterdir()])
    eventually(lambda: shared_memory() <= before)  # other tests' processes make some for a moment
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/health", timeout=PATIENCE)


@pytest.mark.parametrize("reason", ["the port is in use", "the model cannot be loaded"])
def test_a_server_that_cannot_start_leaves_nothing(temporary: Path, tmp_path: Path, reason: str) -> None:
    before, model = shared_memory(), tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "no-such-family"}')
    with ExitStack() as stack:
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = taken.getsockname()[1] if "port" in reason else 0
        process = subprocess.Popen(
            [str(COMMAND), "launch", "--port", str(port), "--model-path", str(model)],
            env=clean_environment(TMPDIR=str(temporary)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        assert process.wait(60) == 1

    assert [*temporary.iterdir()] == []
    eventually(lambda: shared_memory() <= before)  # other tests' processes make some for a moment
    eventually(lambda: not [one for one in psutil.process_iter() if session(one) == process.pid])


def session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except OSError:
        return 0
