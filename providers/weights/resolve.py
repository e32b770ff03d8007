"""Resolution of `--model-path` to files on this disk, and the list of models on it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import attrs

from providers.weights._cache import model_folder
from providers.weights.config import is_in_parts
from providers.weights.embedded import is_pulled, pull
from providers.weights.errors import UnknownWeights, WeightsError
from providers.weights.manifest import EMBEDDED
from providers.weights.progress import ProgressCallback

__all__ = [
    "EMBEDDED_PREFIX",
    "LocalModel",
    "fetch",
    "find_local",
    "folder_size",
    "hub_repo",
    "list_local",
    "local_folder",
    "resolve",
]

EMBEDDED_PREFIX = "embedded:"
_HUB_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


def resolve(path: str, progress: ProgressCallback | None = None, *, patterns: Sequence[str] | None = None) -> Path:
    """The model folder or the `.gguf` file of `path`; missing weights are fetched.

    `path` is `embedded:<id>`, a folder, a `.gguf` file, or a Hugging Face id: `org/name` or `org/name@revision`. An
    existing local path has precedence over a hub id with the same spelling. Blocks while it downloads. `patterns`: of
    the files to download from the hub, where other ones than a language model's are needed.

    Raises:
        WeightsError: there is no usable model; the message tells the user what to do.
    """
    if not path.strip():
        raise WeightsError("No model was named: pass a folder, a .gguf file, a Hugging Face id, or embedded:<id>.")
    if path.startswith(EMBEDDED_PREFIX):
        return pull(path.removeprefix(EMBEDDED_PREFIX), progress)
    local = Path(path).expanduser()
    if local.exists():
        return _usable(local)
    if (repo := hub_repo(path)) is not None:
        from providers.weights import hub  # imported here: it takes half a second

        return hub.fetch(*repo, progress=progress, patterns=hub.PATTERNS if patterns is None else patterns)
    raise WeightsError(
        f"There is no folder or file {path!r}, and it is not a Hugging Face id (org/name) or embedded:<id> either."
    )


def fetch(name: str, progress: ProgressCallback | None = None) -> Path:
    """As `resolve`, of a name that does not come from this machine's user: local paths are unknown.

    Raises:
        WeightsError: as `resolve`.
    """
    if name.startswith(EMBEDDED_PREFIX):
        return pull(name.removeprefix(EMBEDDED_PREFIX), progress)
    if (repo := hub_repo(name)) is None:
        raise UnknownWeights(f"{name!r} is neither embedded:<id> nor a Hugging Face id: org/name or org/name@revision.")
    from providers.weights import hub

    return hub.fetch(*repo, progress=progress)


def hub_repo(path: str) -> tuple[str, str | None] | None:
    """Id and revision (None: the default branch) of a Hugging Face id; None where `path` is none."""
    found = None if path.endswith(".gguf") else _HUB_ID.fullmatch(path)
    return None if found is None else (found["id"], found["revision"])


def find_local(path: str) -> Path | None:
    """The model folder or `.gguf` file that `resolve` would return without a download; None if it needs one.

    Raises:
        WeightsError: as `resolve`, about a local path.
    """
    if path.startswith(EMBEDDED_PREFIX) or not path.strip():
        return local_folder(path)
    local = Path(path).expanduser()
    if local.exists():
        return _usable(local)
    if (repo := hub_repo(path)) is None:
        return None
    from providers.weights import hub

    return hub.find(*repo)


def local_folder(path: str) -> Path | None:
    """The folder that `resolve` would return without a download; None if it needs one, and for hub ids."""
    if path.startswith(EMBEDDED_PREFIX):
        model_id = path.removeprefix(EMBEDDED_PREFIX)
        return model_folder(model_id) if model_id in EMBEDDED and is_pulled(model_id) else None
    local = Path(path).expanduser()
    return local.resolve() if path.strip() and local.is_dir() else None


def _usable(local: Path) -> Path:
    if local.is_file():
        if local.suffix.lower() == ".gguf":
            return local.resolve()
        raise WeightsError(f"{local} is a file, but not a .gguf file. For safetensors files name their folder.")
    if (local / "config.json").is_file() or is_in_parts(local):
        return local.resolve()
    ggufs = sorted(local.glob("*.gguf"))
    if len(ggufs) == 1:
        return ggufs[0].resolve()
    if ggufs:
        names = ", ".join(file.name for file in ggufs)
        raise WeightsError(f"{local} holds several .gguf files; name one of them: {names}.")
    raise WeightsError(f"{local} is not a model folder: it has no config.json and no .gguf file.")


@attrs.frozen(kw_only=True)
class LocalModel:
    """One line of `models list`."""

    id: str
    """Value for `--model-path`."""
    source: Literal["embedded", "hub"]
    pulled: bool
    size: int
    """Bytes on disk; before the pull, the approximate bytes after it."""
    path: Path | None = None
    title: str = ""
    license: str = ""


def list_local() -> list[LocalModel]:
    """Every embedded model, pulled or not, then every model in the Hugging Face cache."""
    embedded = []
    for model in EMBEDDED.values():
        pulled = is_pulled(model.id)
        folder = model_folder(model.id)
        embedded.append(
            LocalModel(
                id=EMBEDDED_PREFIX + model.id,
                source="embedded",
                pulled=pulled,
                size=folder_size(folder) if pulled else model.size,
                path=folder if pulled else None,
                title=model.title,
                license=model.license,
            )
        )
    from providers.weights import hub

    cached = [
        LocalModel(id=repo.id, source="hub", pulled=repo.complete, size=repo.size, path=repo.path)
        for repo in hub.cached()
    ]
    return embedded + cached


def folder_size(folder: Path) -> int:
    """Bytes of all files; those that links lead to count as well."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
