"""The exit status of the server: a worker that had to be killed."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from server.run.granian import Launcher
from server.run.sockets import bind
from server.settings.settings import Settings


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    sockets = bind("127.0.0.1", 0)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    yield Launcher(Settings.load({"model_type": "echo"}, {}), sockets, sender)
    for end in (*sockets, receiver, sender):
        end.close()


@pytest.mark.parametrize(("ended", "killed"), [(True, []), (False, [True])])
def test_only_a_worker_that_runs_is_killed(launcher: Launcher, ended: bool, killed: list[bool]) -> None:
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(0 if ended else 60,))
    process.start()
    if ended:
        process.join()
    calls: list[bool] = []
    launcher._kill(SimpleNamespace(inner=process), lambda: calls.append(True))
    process.kill()

    assert calls == killed
    assert launcher._killed == bool(killed)
