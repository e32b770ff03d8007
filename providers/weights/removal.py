"""Removal of weights from the caches: this project's own, and huggingface_hub's. A user's own folders stay."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import attrs

from providers.folders import cache_folder
from providers.weights._cache import explained, locked, model_folder
from providers.weights.embedded import embedded_model
from providers.weights.errors import UnknownWeights, UnusableWeights
from providers.weights.progress import silent
from providers.weights.resolve import EMBEDDED_PREFIX, folder_size, hub_repo

__all__ = ["Removal", "plan_removal"]


@attrs.frozen(kw_only=True)
class Removal:
    """What a removal would delete."""

    model: str
    path: Path
    what: str
    """In words."""
    size: int
    """Bytes that it frees."""
    execute: Callable[[], None]


def plan_removal(name: str) -> Removal:
    """Find what belongs to `embedded:<id>` or to a Hugging Face id. Deletes nothing until `execute` is called.

    Without a revision, all revisions of a repository are removed.

    Raises:
        UnusableWeights: the name is a path, whose files are the user's own.
        UnknownWeights: there is nothing of this name in the caches.
    """
    if name.startswith(EMBEDDED_PREFIX):
        return _of_embedded(name)
    local = Path(name).expanduser()
    if local.exists():
        raise UnusableWeights(f"{local} is your own {'folder' if local.is_dir() else 'file'}: remove it yourself.")
    if (repo := hub_repo(name)) is None:
        raise UnknownWeights(f"{name!r} is neither embedded:<id> nor a Hugging Face id.")
    return _of_hub(name, *repo)


def _of_embedded(name: str) -> Removal:
    model = embedded_model(name.removeprefix(EMBEDDED_PREFIX))
    folder = model_folder(model.id)
    downloads = cache_folder() / "downloads" / model.id
    found = [place for place in (folder, downloads) if place.exists()]
    if not found:
        raise UnknownWeights(f"{name} is not on this machine.")

    def execute() -> None:
        with locked(model.id, silent), explained(folder.parent):
            for place in found:
                # Renamed away first: no process sees a half-removed folder.
                with tempfile.TemporaryDirectory(prefix=f".{model.id}.partial-", dir=folder.parent) as old:
                    shutil.move(place, Path(old) / place.name)

    return Removal(
        model=name, path=folder, what="an embedded model", size=sum(map(folder_size, found)), execute=execute
    )


def _of_hub(name: str, repo_id: str, revision: str | None) -> Removal:
    from providers.weights import hub

    found = hub.deletion(repo_id, revision)
    if found is None:
        raise UnknownWeights(f"{name} is not in the Hugging Face cache.")
    return Removal(model=name, path=found.path, what=found.what, size=found.size, execute=found.execute)
