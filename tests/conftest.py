"""Set-up for all tests, independent of the program that starts them."""

from __future__ import annotations

import gc
import signal
from collections.abc import Generator

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

# Shells make background processes ignore Ctrl-C; without this, every process that a test starts would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is. Each run tries the same examples, so that a failure belongs to
# its commit; `--hypothesis-profile search` tries others.
settings.register_profile("search", deadline=None)
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Make modules and tests without garbage collections, and leave them out of those to come: a third of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


TOGETHER = {
    "tests/live/engines/test_kokoro.py": "an engine that speaks",
    "tests/live/engines/test_kokoro_alignment.py": "an engine that speaks",
    "tests/live/test_languages.py": "a server that speaks",
    "tests/live/test_speech.py": "a server that speaks",
    "tests/live/test_speech_text.py": "a server that speaks",
}
"""Files that share what takes long to start."""


class ByServer(LoadFileScheduling):  # type: ignore[misc]
    """Keeps the tests of a file, and the files that are `TOGETHER`, on one worker."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return TOGETHER.get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByServer | None:
    return ByServer(config, log) if config.getoption("dist") == "loadfile" else None
