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


@pytest.fixture
def reloading() -> Iterator[tuple[Launcher, list[str]]]:
    sockets = bind("127.0.0.1", 0)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    calls: list[str] = []
    yield Launcher(Settings.load({"model_type": "echo"}, {}), sockets, sender, lambda: calls.append("reload")), calls
    for end in (*sockets, receiver, sender):
        end.close()


def test_a_hangup_reloads_where_there_is_a_file_and_no_terminal(reloading: tuple[Launcher, list[str]]) -> None:
    launcher, calls = reloading

    launcher.signal_handler_reload()
    assert (launcher.reload_signal, launcher.interrupt_signal, calls) == (True, False, [])  # not in the handler
    launcher._reload(lambda: None, lambda: None)

    assert (launcher.reload_signal, launcher.main_loop_interrupt.is_set(), calls) == (False, False, ["reload"])


def test_a_hangup_ends_the_server_otherwise(launcher: Launcher) -> None:
    launcher.signal_handler_reload()

    assert (launcher.reload_signal, launcher.interrupt_signal) == (False, True)


@pytest.mark.parametrize("came", ["signal", "death"])
def test_an_end_during_a_reload_is_not_lost(reloading: tuple[Launcher, list[str]], came: str) -> None:
    launcher, _ = reloading
    launcher.signal_handler_reload()
    if came == "signal":
        launcher.signal_handler_interrupt()
    else:
        launcher.interrupt_children.append(0)

    launcher._reload(lambda: None, lambda: None)

    assert launcher.main_loop_interrupt.is_set()
