"""Where pulled weights live, and how a folder there becomes whole at once or not at all."""

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

from providers.weights.errors import WeightsError
from providers.weights.progress import ProgressCallback

__all__ = [
    "cache_folder",
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


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/mlx-openai-server`, by default under `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification says that a relative path counts as unset.
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "mlx-openai-server"


def model_folder(model_id: str) -> Path:
    return cache_folder() / "models" / model_id


@contextmanager
def locked(model_id: str, progress: ProgressCallback) -> Generator[None]:
    """Hold the model's folder against other processes and threads; waits as long as another one is at work."""
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
            progress(f"Waiting for another process that pulls {model_id}", None)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def staging(model_id: str) -> Generator[Path]:
    """An empty folder beside the final one, gone afterwards. Call under `locked`: it removes what others left."""
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
    """State that this folder is whole: its files and their sizes in bytes, and which manifest made it."""
    files = {str(file.relative_to(folder)): file.stat().st_size for file in folder.rglob("*") if file.is_file()}
    (folder / MARKER).write_text(json.dumps({"fingerprint": fingerprint, "files": files}, indent=1))


def is_complete(folder: Path, fingerprint: str) -> bool:
    """True when the folder was made by this manifest and every file still has its size."""
    try:
        marker = json.loads((folder / MARKER).read_text())
        files: dict[str, int] = marker["files"]
        return marker["fingerprint"] == fingerprint and all(
            (folder / name).stat().st_size == size for name, size in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def publish(made: Path, folder: Path) -> None:
    """Put a finished folder in place with one rename; the files reach the disk first."""
    for file in made.rglob("*"):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
    if folder.exists():
        # Renamed away first: a server that has it open keeps its files, and nobody sees a half-removed folder.
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.partial-", dir=folder.parent) as old:
            folder.rename(Path(old) / folder.name)
            made.rename(folder)
    else:
        made.rename(folder)


@contextmanager
def explained(folder: Path, needed: int | None = None) -> Generator[None]:
    """Turn the operating system's refusals into a `WeightsError` that names the folder.

    Args:
        folder: where was written.
        needed: bytes that the whole takes.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, Timeout):
            raise
        raise WeightsError(os_error_message(error, folder, needed)) from error


def require_space(folder: Path, needed: int) -> None:
    """Find out before the download, not after it: not every program says why it could not write.

    Raises:
        OSError: ENOSPC, as a write would; fewer than `needed` bytes are free where `folder` is.
    """
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def os_error_message(error: OSError, folder: Path, needed: int | None) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        about = f" (about {needed / 1e6:.0f} MB are needed)" if needed else ""
        return f"No space left in {folder}{about}. Free some, or set XDG_CACHE_HOME to a folder on another disk."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{folder} is not writable ({error.strerror}). Set XDG_CACHE_HOME to a folder that is."
    return f"Writing to {folder} failed: {error}"
