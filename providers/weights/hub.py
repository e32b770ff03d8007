"""Models with a Hugging Face id, fetched into and listed from huggingface_hub's own cache."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from huggingface_hub import constants, scan_cache_dir, snapshot_download
from huggingface_hub.errors import (
    CacheNotFound,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tqdm.auto import tqdm

from providers.weights._cache import as_weights_error
from providers.weights.config import is_in_parts
from providers.weights.errors import UnknownWeights, Unreachable, UnusableWeights, WeightsError
from providers.weights.progress import ProgressCallback, Stage, silent

__all__ = ["CachedRepo", "Deletion", "cached", "deletion", "fetch", "find"]

if TYPE_CHECKING:
    _Tqdm = tqdm[Any]
else:
    _Tqdm = tqdm  # not subscriptable at run time

PATTERNS = ("*.json", "*.safetensors", "weights.npz", "*.py", "*.model", "*.tiktoken", "*.txt", "*.jsonl", "*.jinja")
"""Files to fetch: weights, configuration, tokenizer and templates, without duplicates in other frameworks' formats."""


def fetch(
    repo_id: str,
    revision: str | None = None,
    *,
    progress: ProgressCallback | None = None,
    patterns: Sequence[str] = PATTERNS,
) -> Path:
    """The folder of the repository's snapshot. Missing files are downloaded, interrupted downloads resumed.

    `revision`: a branch, tag or commit; None is the default branch. `patterns`: of the files to download.
    HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE apply. Without a network the cached snapshot is used.

    Raises:
        WeightsError: the repository does not exist or is gated, or there is no network and no complete snapshot.
    """
    report = progress or silent
    report(f"Looking up {repo_id}", None)
    try:
        found = snapshot_download(
            repo_id, revision=revision, allow_patterns=list(patterns), tqdm_class=_bar(repo_id, report)
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError) as error:
        raise _explained(repo_id, revision, error) from error
    except OSError as error:
        raise as_weights_error(error, Path(constants.HF_HUB_CACHE), None) from error
    folder = Path(found)
    missing = missing_files(folder)
    if missing:
        raise UnusableWeights(
            f"{repo_id} in {folder} is not a complete MLX model: {', '.join(missing)} missing. "
            "If a download was interrupted, run the command again with a network; "
            "otherwise the repository has another format (MLX conversions are at mlx-community)."
        )
    return folder


def find(repo_id: str, revision: str | None = None) -> Path | None:
    """The folder of a complete snapshot in the cache; None if there is none. Uses no network."""
    try:
        found = Path(snapshot_download(repo_id, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None
    return None if missing_files(found) else found


def missing_files(folder: Path) -> list[str]:
    """Required files that the model folder lacks: config.json, or weights files of the index."""
    if is_in_parts(folder):
        return [file for part in sorted(folder.iterdir()) if part.is_dir() for file in _missing_shards(part)]
    missing = [] if (folder / "config.json").is_file() else ["config.json"]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return missing + _missing_of(index)
    # Older conversions of mlx-whisper have weights.npz.
    if not any(folder.rglob("*.safetensors")) and not (folder / "weights.npz").is_file():
        missing.append("*.safetensors")
    return missing


def _missing_shards(part: Path) -> list[str]:
    """The files that the indexes of a part of an image model name and that it lacks."""
    return [f"{part.name}/{name}" for index in part.glob("*.safetensors.index.json") for name in _missing_of(index)]


def _missing_of(index: Path) -> list[str]:
    """The files beside an index that it names and that are not there."""
    try:
        shards = set(json.loads(index.read_text())["weight_map"].values())
    except (ValueError, KeyError, AttributeError):
        return [f"{index.name} (unreadable)"]
    return sorted(name for name in shards if not (index.parent / name).is_file())


@attrs.frozen(kw_only=True)
class CachedRepo:
    """A model repository in the cache."""

    id: str
    path: Path
    """Folder of the newest snapshot."""
    size: int
    """Bytes of all its snapshots."""
    complete: bool


def cached() -> list[CachedRepo]:
    """Model repositories in the cache, sorted by id; empty if there is no cache."""
    try:
        repos = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return []
    found = []
    for repo in repos:
        if repo.repo_type == "model" and repo.revisions:
            newest = max(repo.revisions, key=lambda revision: revision.last_modified)
            path = Path(newest.snapshot_path)
            found.append(
                CachedRepo(id=repo.repo_id, path=path, size=repo.size_on_disk, complete=not missing_files(path))
            )
    return sorted(found, key=lambda repo: repo.id)


@attrs.frozen(kw_only=True)
class Deletion:
    """What huggingface_hub would delete from its cache."""

    path: Path
    what: str
    """In words."""
    size: int
    """Bytes that no other revision needs."""
    execute: Callable[[], None]


def deletion(repo_id: str, revision: str | None = None) -> Deletion | None:
    """Plan to delete a repository, or one revision of it (a commit, branch or tag); None if the cache has none."""
    try:
        info = scan_cache_dir(constants.HF_HUB_CACHE)
    except CacheNotFound:
        return None
    repo = next((repo for repo in info.repos if repo.repo_type == "model" and repo.repo_id == repo_id), None)
    revisions = () if repo is None else repo.revisions
    wanted = [each for each in revisions if revision is None or revision in (each.commit_hash, *each.refs)]
    if repo is None or not wanted:
        return None
    # Another repository may have the same commit: a copy.
    only = dataclasses.replace(info, repos=frozenset({repo}))
    strategy = only.delete_revisions(*(each.commit_hash for each in wanted))

    def execute() -> None:
        strategy.execute()
        if any(Path(each.snapshot_path).exists() for each in wanted):
            raise WeightsError(f"{repo.repo_path} cannot be deleted entirely: check its permissions.")

    whole = len(wanted) == len(revisions)
    return Deletion(
        path=Path(repo.repo_path) if whole else Path(wanted[0].snapshot_path),
        what="a repository of the Hugging Face cache" if whole else "a revision in the Hugging Face cache",
        size=strategy.expected_freed_size,
        execute=execute,
    )


def _explained(repo_id: str, revision: str | None, error: Exception) -> WeightsError:
    looked = f"Looked for {repo_id} in {constants.HF_HUB_CACHE} and at {constants.ENDPOINT}"
    if isinstance(error, GatedRepoError):
        return UnusableWeights(
            f"{repo_id} is gated. Accept its terms at {constants.ENDPOINT}/{repo_id}, "
            "then set HF_TOKEN or run `hf auth login`."
        )
    if isinstance(error, RepositoryNotFoundError):
        return UnknownWeights(
            f"{repo_id} does not exist at {constants.ENDPOINT}, or is private. "
            "Check the spelling; for a private repository set HF_TOKEN or run `hf auth login`."
        )
    if isinstance(error, RevisionNotFoundError):
        return UnknownWeights(f"{repo_id} has no revision `{revision or 'main'}` at {constants.ENDPOINT}.")
    if isinstance(error, HFValidationError):
        return UnknownWeights(f"{repo_id!r} is not a valid Hugging Face id: {error}")
    instead = "Alternatives: a local folder with --model-path, or the embedded models without it."
    if isinstance(error, LocalEntryNotFoundError):
        if constants.is_offline_mode():
            return Unreachable(
                f"{repo_id} is not complete in {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE forbids downloads. "
                f"Unset HF_HUB_OFFLINE to download it. {instead}"
            )
        if isinstance(error.__cause__, HfHubHTTPError):
            return Unreachable(f"{looked}, which returned: {error.__cause__}. {instead}")
        return Unreachable(
            f"{looked}, which cannot be reached. Check the network, or set HF_ENDPOINT to a mirror. {instead}"
        )
    return Unreachable(f"{looked}, which returned: {error}. {instead}")


def _bar(repo_id: str, progress: ProgressCallback) -> type[_Tqdm]:
    """A tqdm class that draws nothing and calls `progress` with the share of bytes downloaded."""

    class Bar(_Tqdm):
        monitor_interval = 0  # no watcher thread

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "file": io.StringIO(), "disable": False})

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            # huggingface_hub has two byte counters; "Downloading bytes" counts bytes on the wire, with a guessed total.
            if self.unit == "B" and self.total and self.desc != "Downloading bytes":
                stage = Stage(f"Downloading {repo_id} ({self.total / 1e6:.0f} MB)", total=int(self.total))
                progress(stage, min(self.n / self.total, 1.0))

    return Bar
