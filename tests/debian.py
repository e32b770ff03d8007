"""Programs that tests need and that Debian has packages of."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["INSTALL_SECONDS", "find_program"]

INSTALL_SECONDS = 240.0
_PLACES = ("/usr/sbin", "/usr/local/sbin")
"""Folders of servers, which a user's PATH lacks."""


def find_program(*names: str, package: str) -> str | None:
    """Path of the first of these programs that the machine has, or that its package manager installs.

    Packages are installed in CI only, as root, one after the other: apt-get fails beside another one.
    """
    if found := _found(names):
        return found
    if not (os.environ.get("CI") and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")):
        return None
    install = f"apt-get update -qq && apt-get install -y -qq --no-install-recommends {package}"
    try:
        with FileLock(Path(tempfile.gettempdir(), "mlx-openai-server-tests-apt.lock"), timeout=INSTALL_SECONDS):
            if not _found(names):
                subprocess.run(["sh", "-c", install], timeout=INSTALL_SECONDS, capture_output=True, check=True)
    except (subprocess.SubprocessError, OSError, Timeout):
        return None
    return _found(names)


def _found(names: tuple[str, ...]) -> str | None:
    places = os.pathsep.join([os.environ.get("PATH", ""), *_PLACES])
    return next((found for name in names if (found := shutil.which(name, path=places))), None)
