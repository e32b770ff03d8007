"""The file of a running server, read again: what reaches the worker, and what it does with it."""

from __future__ import annotations

import multiprocessing
import os
import pty
import subprocess
import sys
from functools import partial
from pathlib import Path

import attrs
import pytest

from server.run.reload import ConfigFile, Refused, Reloaded
from server.settings.options import OPTIONS
from server.settings.settings import Settings
from tests.unit.server.settings.files import write

TWO = "port: 8000\nmodels:\n- {name: a, path: org/a}\n- {name: b, path: org/b}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "config.yaml", TWO)
    return tmp_path / "config.yaml"


def file_of(path: Path) -> ConfigFile:
    """The file of a server that has fetched the models' weights."""
    load = partial(Settings.load, {"config": str(path)}, {})
    given = load()
    fetched = tuple(attrs.evolve(model, path=f"/fetched/{model.path}") for model in given.models)
    return ConfigFile(load, given, attrs.evolve(given, models=fetched))


def read(file: ConfigFile) -> Reloaded:
    found = file.read()
    assert isinstance(found, Reloaded), found
    return found


def test_a_model_that_was_fetched_keeps_its_folder(path: Path) -> None:
    file = file_of(path)
    path.write_text(TWO.replace("name: b", "name: b, ttl: 5m") + "- {name: c, path: org/c}\n")

    for _ in range(2):
        assert [(model.name, model.path, model.ttl) for model in read(file).models] == [
            ("a", "/fetched/org/a", None),
            ("b", "/fetched/org/b", 300.0),
            ("c", "org/c", None),
        ]


def test_a_file_that_cannot_be_used_is_refused_with_its_line(path: Path) -> None:
    file = file_of(path)
    path.write_text(TWO + "- {name: c, tll: 5}\n")

    assert file.read() == Refused(f"{path}:5: models[2].tll is not an option; did you mean 'ttl'?")

    path.write_text(TWO)
    assert [model.path for model in read(file).models] == ["/fetched/org/a", "/fetched/org/b"]


def test_a_file_that_is_gone_is_refused(path: Path) -> None:
    file = file_of(path)
    path.unlink()

    found = file.read()

    assert isinstance(found, Refused)
    assert "No such file" in found.message


def test_options_of_the_server_that_differ_from_the_start_are_named(path: Path) -> None:
    file = file_of(path)
    path.write_text(TWO.replace("8000", "9000") + "max_body_size: 1MB\nmemory_limit: 8GB\ndebug: true\n")

    assert read(file).restart == ("--port", "--max-body-size", "--log-level")
    assert read(file).memory_limit == 8_000_000_000

    path.write_text(TWO)
    assert read(file).restart == ()


def test_every_option_of_the_server_is_named_by_its_flag() -> None:
    names = {option.name for option in OPTIONS if option.scope == "server"} - {"config"}
    settings = Settings.load(environ={})
    file = ConfigFile(lambda: settings, settings, settings)
    other = object()
    changed = attrs.evolve(settings)
    for field in attrs.fields(Settings):
        object.__setattr__(changed, field.name, other)

    assert {*file._needs_restart(changed)} == {f"--{name.replace('_', '-')}" for name in names - {"memory_limit"}}


def test_what_the_file_has_now_is_sent_from_a_thread(path: Path) -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        file_of(path).reload(sender)

        assert receiver.poll(20)
        assert [model.name for model in receiver.recv().models] == ["a", "b"]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_service_has_no_terminal(terminal: bool) -> None:
    code = "import sys; from server.run.reload import has_terminal; sys.exit(has_terminal())"
    if terminal:
        code = f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); {code}"
    ours, theirs = pty.openpty()
    try:
        ended = subprocess.run([sys.executable, "-c", code], stdin=theirs, start_new_session=True, timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)

    assert ended.returncode == int(terminal)
