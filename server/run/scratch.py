"""The folder of a server's temporary files: uploads, databases and files of libraries, in any of its processes.

The main process makes it, names it to all others in `TMPDIR`, and deletes it at its end. If the main process is
killed, the worker deletes it. If both are killed, the next server does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["delete", "temporary_folder"]

PREFIX = "mlx-openai-server-run-"
"""No other program's folders begin so: those without a lock are deleted."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make the folder, and set `TMPDIR` for the processes that are started in the block."""
    before = os.environ.get("TMPDIR")
    _delete_abandoned(Path(tempfile.gettempdir()))
    folder, lock = _locked()
    os.environ["TMPDIR"] = str(folder)
    try:
        yield folder
    finally:
        delete(folder)
        os.close(lock)
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before


def delete(folder: Path) -> None:
    """Delete the folder, as far as possible."""
    shutil.rmtree(folder, ignore_errors=True)


def _locked() -> tuple[Path, int]:
    """A new folder, and the descriptor that locks it. The kernel ends the lock with the process."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        if _lock(descriptor) and folder.exists():
            return folder, descriptor
        os.close(descriptor)  # another server took it for abandoned before it was locked


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _delete_abandoned(parent: Path) -> None:
    """Delete the folders of servers whose processes were all killed."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # of another user, or deleted meanwhile
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if _lock(descriptor):
                    delete(folder)
            finally:
                os.close(descriptor)
