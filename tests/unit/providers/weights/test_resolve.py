"""Values of `--model-path`, and the content of `models list`."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.weights import WeightsError, list_local, local_folder, pull, resolve
from tests.unit.providers.weights.tiny_index import Index


def test_an_embedded_id_is_pulled(index: Index) -> None:
    assert resolve("embedded:tiny") == index.model_folder


def test_a_model_folder_is_itself(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    assert resolve(str(tmp_path)) == tmp_path


def test_a_folder_under_home_may_be_written_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "config.json").write_text("{}")

    assert resolve("~/models") == tmp_path / "models"


def test_a_gguf_file_is_itself(tmp_path: Path) -> None:
    file = tmp_path / "model.GGUF"
    file.write_bytes(b"GGUF")

    assert resolve(str(file)) == file


def test_a_folder_with_one_gguf_file_resolves_to_that_file(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")

    assert resolve(str(tmp_path)) == tmp_path / "model.gguf"


def test_a_relative_folder_wins_over_a_hub_id_of_the_same_spelling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "name").mkdir(parents=True)
    (tmp_path / "org" / "name" / "config.json").write_text("{}")

    assert resolve("org/name") == tmp_path / "org" / "name"


def test_a_local_folder_is_known_without_a_fetch(index: Index, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()

    assert local_folder(str(tmp_path / "model")) == tmp_path / "model"
    assert local_folder("embedded:tiny") is None
    pull("tiny")
    index.empty()
    assert local_folder("embedded:tiny") == index.model_folder
    assert [local_folder(path) for path in ("embedded:none", "org/name", "")] == [None] * 3


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("", "No model was named"),
        ("nowhere", "no folder or file 'nowhere'"),
        ("./nowhere/at/all", "no folder or file"),
        ("org/model.gguf", "no folder or file"),
        ("embedded:nothing", "no embedded model 'nothing'"),
    ],
)
def test_a_missing_model_is_named(path: str, says: str) -> None:
    with pytest.raises(WeightsError, match=says):
        resolve(path)


def test_a_folder_without_a_model_is_refused_with_the_missing_files(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no config\.json and no \.gguf"):
        resolve(str(tmp_path))


def test_several_gguf_files_are_listed(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")

    with pytest.raises(WeightsError, match=r"a\.gguf, b\.gguf"):
        resolve(str(tmp_path))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")

    with pytest.raises(WeightsError, match="name their folder"):
        resolve(str(tmp_path / "model.safetensors"))


def test_the_list_shows_which_embedded_models_are_pulled(index: Index) -> None:
    before = {model.id: model for model in list_local()}
    pull("tiny")
    after = {model.id: model for model in list_local()}

    assert not before["embedded:tiny"].pulled
    assert before["embedded:tiny"].path is None
    assert after["embedded:tiny"].pulled
    assert after["embedded:tiny"].path == index.model_folder
    assert after["embedded:tiny"].size > 3000
