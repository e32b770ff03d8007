"""What the files of a model say about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from providers.weights import WeightsError
from providers.weights.config import guess_type
from providers.weights.description import describe
from providers.weights.errors import UnknownWeights
from tests.unit.providers.memory.test_estimate import folder

CARD = """---
license: mit
tags: [license]
---
# A model
license: none
"""


@pytest.fixture(autouse=True)
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_folder_is_described_by_its_files(tmp_path: Path) -> None:
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "max_position_embeddings": 4096,
        "quantization": {"group_size": 32, "bits": 4, "layer": {"group_size": 32, "bits": 8}},
    }
    path = folder(tmp_path / "m", config, a=("BF16", (10, 10)), b=("F32", (2, 2)))
    (path / "README.md").write_text(CARD)
    found = describe(str(path))
    assert (found.source, found.path, found.revision, found.model_type) == ("local", path, None, "lm")
    assert (found.architecture, found.dtype, found.context_length) == ("LlamaForCausalLM", "bfloat16", 4096)
    assert (found.quantization, found.license) == ("4 bits in groups of 32, some layers 8", "mit")
    assert set(found.files) == {"README.md", "config.json", "model.safetensors"}
    assert found.size == sum(found.files.values())
    assert found.memory is not None
    assert found.memory > 200


def test_a_repository_has_its_commit_as_revision(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "hub" / "models--org--name"
    folder(repo / "snapshots" / commit, {}, a=("F16", (10, 10)))
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    for name in ("org/name", f"org/name@{commit}"):
        found = describe(name)
        assert (found.source, found.revision, found.path) == ("hub", commit, repo / "snapshots" / commit)
        assert found.license is None


@pytest.mark.parametrize("name", ["org/name", "embedded:smollm2-135m-instruct"])
def test_what_is_not_here_can_be_pulled(name: str) -> None:
    with pytest.raises(UnknownWeights, match=f"models pull {name}"):
        describe(name)


@pytest.mark.parametrize("name", ["nothing", "embedded:none"])
def test_what_is_nowhere_is_unknown(name: str) -> None:
    with pytest.raises(UnknownWeights):
        describe(name)


def test_a_folder_without_a_model_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not a model folder"):
        describe(str(tmp_path))


@pytest.mark.parametrize(
    ("config", "model_type"),
    [
        ({"istftnet": {}}, "tts"),
        ({"model_type": "whisper"}, "whisper"),
        ({"model_type": "bert"}, "embeddings"),
        ({"model_type": "qwen3"}, "lm"),
        ({"model_type": "qwen2_vl", "vision_config": {}}, "multimodal"),
        ({"model_type": "gemma3", "vision_config": {}}, "multimodal"),
        ({"model_type": "gemma3n", "vision_config": {}}, "lm"),
    ],
)
def test_the_type_is_guessed_from_the_config(config: dict[str, object], model_type: str, tmp_path: Path) -> None:
    assert guess_type(tmp_path, config) == model_type
    (tmp_path / "modules.json").write_text(json.dumps([]))
    if model_type == "lm":
        assert guess_type(tmp_path, config) == "embeddings"


def test_a_folder_with_a_vae_is_an_image_model(tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "0.safetensors").touch()

    assert guess_type(tmp_path, {}) == "image-generation"
