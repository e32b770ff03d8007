"""Programs that tests need and that Debian has packages of.

`python3 -m tests.debian` installs those that are missing, where tests would. It needs no other package of Python.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["INSTALL_SECONDS", "find_program"]

INSTALL_SECONDS = 240.0
_PROGRAMS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome", "chrome"),
    "espeak-ng": ("espeak-ng",),
    "haproxy": ("haproxy",),
}
"""Names of the program, by the name of its package."""
_PLACES = ("/usr/sbin", "/usr/local/sbin")
"""Folders of servers, which a user's PATH lacks."""


def find_program(package: str) -> str | None:
    """Path of the program of a package that the machine has, or that its package manager installs.

    Packages are installed in CI only, as root, one after the other: apt-get fails beside another one.
    """
    if _found(package) is None:
        _install([package])
    return _found(package)


def _found(package: str) -> str | None:
    places = os.pathsep.join([os.environ.get("PATH", ""), *_PLACES])
    return next((found for name in _PROGRAMS[package] if (found := shutil.which(name, path=places))), None)


def _install(packages: list[str]) -> None:
    """Install what is still missing once no other process installs. Leaves out what the machine refuses."""
    if not (os.environ.get("CI") and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")):
        return
    with contextlib.suppress(subprocess.SubprocessError, OSError), _only_one():
        if missing := [package for package in packages if _found(package) is None]:
            install = f"apt-get update -qq && apt-get install -y -qq --no-install-recommends {' '.join(missing)}"
            subprocess.run(["sh", "-c", install], timeout=INSTALL_SECONDS, capture_output=True, check=True)


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    """Keep other processes from installing. Raises TimeoutError if one takes too long."""
    deadline = time.monotonic() + INSTALL_SECONDS
    with Path(tempfile.gettempdir(), "mlx-openai-server-tests-apt.lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError("another process still installs packages") from None
                time.sleep(0.1)
            else:
                break
        yield


if __name__ == "__main__":
    _install([*_PROGRAMS])
