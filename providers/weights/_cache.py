"""The cache of pulled weights, in which a model's folder appears complete or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from providers.folders import cache_folder
from providers.weights.errors import DiskFull, WeightsError
from providers.weights.progress import ProgressCallback

__all__ = [
    "as_weights_error",
    "explained",
    "is_complete",
    "locked",
    "model_folder",
    "publish",
    "require_space",
    "staging",
    "write_marker",
]

MARKER = ".complete.json"
_LOCK_POLL_SECONDS = 0.5


def model_folder(model_id: str) -> Path:
    return cache_folder() / "models" / model_id


@contextmanager
def locked(model_id: str, progress: ProgressCallback) -> Generator[None]:
    """Lock the model's folder against other processes and threads; waits while another one holds it."""
    models = cache_folder() / "models"
    with explained(models):
        models.mkdir(parents=True, exist_ok=True)
    lock = FileLock(models / f".{model_id}.lock", thread_local=False)
    while True:
        try:
            with explained(models):
                lock.acquire(timeout=_LOCK_POLL_SECONDS)
            break
        except Timeout:
            progress(f"Waiting for another process that is pulling {model_id}", None)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def staging(model_id: str) -> Generator[Path]:
    """An empty folder beside the final one, removed afterwards. Call it under `locked`: it also removes leftovers of
    killed processes."""
    models = cache_folder() / "models"
    prefix = f".{model_id}.partial-"
    for stale in models.glob(f"{prefix}*"):
        shutil.rmtree(stale, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=models))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_marker(folder: Path, fingerprint: str) -> None:
    """Mark the folder as complete: its files with their sizes in bytes, and the fingerprint of its manifest entry."""
    files = {str(file.relative_to(folder)): file.stat().st_size for file in folder.rglob("*") if file.is_file()}
    (folder / MARKER).write_text(json.dumps({"fingerprint": fingerprint, "files": files}, indent=1))


def is_complete(folder: Path, fingerprint: str) -> bool:
    """True if the folder was made from this manifest entry and every file still has its size."""
    try:
        marker = json.loads((folder / MARKER).read_text())
        files: dict[str, int] = marker["files"]
        return marker["fingerprint"] == fingerprint and all(
            (folder / name).stat().st_size == size for name, size in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def publish(made: Path, folder: Path) -> None:
    """Put a finished folder in place with one rename, after its files are synced to disk."""
    for file in made.rglob("*"):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
    if folder.exists():
        # Renamed away first: a server that has it open keeps its files, and no process sees a half-removed folder.
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.partial-", dir=folder.parent) as old:
            folder.rename(Path(old) / folder.name)
            made.rename(folder)
    else:
        made.rename(folder)


@contextmanager
def explained(folder: Path, needed: int | None = None) -> Generator[None]:
    """Turn an OSError of the block into a `WeightsError` that names the folder.

    Args:
        folder: the folder that the block writes to.
        needed: bytes that the complete download and conversion need.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, Timeout):
            raise
        raise as_weights_error(error, folder, needed) from error


def require_space(folder: Path, needed: int) -> None:
    """Check the free space before a download, because not every program reports a full disk as the reason.

    Raises:
        OSError: ENOSPC, as for a write: fewer than `needed` bytes are free on `folder`'s disk.
    """
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def as_weights_error(error: OSError, folder: Path, needed: int | None) -> WeightsError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        about = f" (about {needed / 1e6:.0f} MB are needed)" if needed else ""
        return DiskFull(
            f"No space left in {folder}{about}. Free some space, or set XDG_CACHE_HOME to a folder on another disk."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return WeightsError(f"{folder} is not writable ({error.strerror}). Set XDG_CACHE_HOME to a writable folder.")
    return WeightsError(f"Writing to {folder} failed: {error}")
