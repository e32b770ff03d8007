"""Removal from the caches, and never of a user's own files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from huggingface_hub import constants

from providers.weights import WeightsError, is_pulled
from providers.weights.embedded import pull
from providers.weights.errors import UnknownWeights, UnusableWeights
from providers.weights.removal import plan_removal
from tests.unit.providers.weights.tiny_index import Index

OLD, NEW = "0" * 40, "1" * 40


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of two revisions that share a file of 7 bytes, and have one of 5 bytes each."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repo = tmp_path / "hub" / "models--org--name"
    for folder in ("blobs", "refs", f"snapshots/{OLD}", f"snapshots/{NEW}"):
        (repo / folder).mkdir(parents=True)
    (repo / "refs" / "main").write_text(NEW)
    (repo / "refs" / "v1").write_text(OLD)
    for name, size, commits in (("shared", 7, (OLD, NEW)), ("old", 5, (OLD,)), ("new", 5, (NEW,))):
        (repo / "blobs" / name).write_bytes(b"x" * size)
        for commit in commits:
            (repo / "snapshots" / commit / f"{name}.json").symlink_to(repo / "blobs" / name)
    return repo


def test_an_embedded_model_is_removed_and_can_be_pulled_again(index: Index) -> None:
    folder = pull("tiny")
    removal = plan_removal("embedded:tiny")
    assert (removal.path, removal.size) == (folder, sum(file.stat().st_size for file in folder.iterdir()))
    assert folder.exists()
    removal.execute()
    assert not folder.exists()
    assert not list(folder.parent.glob(".tiny.partial-*"))
    with pytest.raises(UnknownWeights, match="not on this machine"):
        plan_removal("embedded:tiny")
    pull("tiny")
    assert is_pulled("tiny")


def test_a_repository_is_removed_with_all_revisions(repository: Path) -> None:
    removal = plan_removal("org/name")
    assert (removal.path, removal.size) == (repository, 17)
    removal.execute()
    assert not repository.exists()


@pytest.mark.parametrize("revision", ["v1", OLD])
def test_a_revision_is_removed_without_what_others_share(repository: Path, revision: str) -> None:
    removal = plan_removal(f"org/name@{revision}")
    assert (removal.path, removal.size) == (repository / "snapshots" / OLD, 5)
    removal.execute()
    assert not (repository / "snapshots" / OLD).exists()
    assert (repository / "snapshots" / NEW / "shared.json").read_bytes() == b"x" * 7


@pytest.mark.parametrize("name", ["org/other", "org/name@v2", "embedded:none", "name"])
def test_what_is_not_there_is_unknown(repository: Path, name: str) -> None:
    with pytest.raises(UnknownWeights):
        plan_removal(name)


def test_a_users_own_files_are_refused(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "m.gguf"
    file.touch()
    for name in (str(tmp_path), str(file), str(repository)):
        with pytest.raises(UnusableWeights, match="your own"):
            plan_removal(name)
    # A local path has precedence over a repository, as it has for `launch`.
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnusableWeights, match="your own folder"):
        plan_removal("org/name")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may delete everything")
def test_a_repository_that_cannot_be_deleted_is_an_error(repository: Path) -> None:
    removal = plan_removal("org/name")
    repository.parent.chmod(0o500)
    repository.chmod(0o500)
    try:
        with pytest.raises(WeightsError, match="permissions"):
            removal.execute()
    finally:
        repository.parent.chmod(0o700)
        repository.chmod(0o700)
