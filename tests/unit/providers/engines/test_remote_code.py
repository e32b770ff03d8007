"""No loader runs Python code from a model's folder without `--trust-remote-code`, whatever its files ask for."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from providers.engines.embeddings.encoder import load_encoder
from providers.engines.language.loading import load_language_model
from providers.engines.language.multimodal import load_multimodal_model
from providers.engines.process.engine import EngineLoadError
from providers.engines.speech.kokoro.model import load_kokoro
from providers.engines.transcription.loading import load_whisper
from providers.spec import ModelSpec
from tests.unit.providers.engines import tiny, tiny_encoders, tiny_vision, tiny_whisper

CODE = """
from pathlib import Path
from transformers import PretrainedConfig, PreTrainedTokenizerFast

(Path({marker!r})).touch()


class Config(PretrainedConfig):
    model_type = "own"


class Tokenizer(PreTrainedTokenizerFast):
    pass


class Model:
    pass


class ModelArgs:
    pass
"""
CLASSES = {"AutoConfig": "own.Config", "AutoModel": "own.Model", "AutoModelForCausalLM": "own.Model"}


def ignore(stage: str, fraction: float | None) -> None:
    pass


def changed(path: Path, **fields: Any) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, **fields}))


def plant(folder: Path, marker: Path, *, model: bool = True, tokenizer: bool = True) -> None:
    """Add code that writes the marker, and every reference to it that a loader may follow."""
    for name in ("own.py", "modeling.py", "__init__.py", "conftest.py", "tool_parser.py"):
        (folder / name).write_text(CODE.format(marker=str(marker)))
    if model:
        changed(folder / "config.json", model_file="own.py", auto_map=CLASSES)
        changed(folder / "processor_config.json", auto_map={"AutoProcessor": "own.Tokenizer"})
        changed(folder / "preprocessor_config.json", auto_map={"AutoFeatureExtractor": "own.Tokenizer"})
    if tokenizer:
        classes = {"AutoTokenizer": ["own.Tokenizer", "own.Tokenizer"]}
        changed(folder / "tokenizer_config.json", tokenizer_class="Tokenizer", auto_map=classes)
        changed(folder / "config.json", auto_map={**CLASSES, **classes})


def language(folder: Path, **spec: Any) -> Any:
    return load_language_model(ModelSpec(name="tiny", path=str(folder), **spec), "cpu", ignore)


def multimodal(folder: Path, **spec: Any) -> Any:
    return load_multimodal_model(
        ModelSpec(name="tiny", path=str(folder), model_type="multimodal", **spec), "cpu", ignore
    )


def embeddings(folder: Path, **spec: Any) -> Any:
    return load_encoder(ModelSpec(name="tiny", path=str(folder), model_type="embeddings", **spec), "cpu", ignore)


def transcription(folder: Path, **spec: Any) -> Any:
    return load_whisper(ModelSpec(name="tiny", path=str(folder), model_type="whisper", **spec), "cpu", ignore)


def speech(folder: Path, **spec: Any) -> Any:
    return load_kokoro(folder, on_cpu=True)


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


LOADERS: dict[str, tuple[Callable[[Path], Path], Callable[..., Any]]] = {
    "language": (tiny.write_folder, language),
    "multimodal": (tiny_vision.write_folder, multimodal),
    "embeddings": (tiny_encoders.bert_folder, embeddings),
    "transcription": (lambda folder: tiny_whisper.write_folder(made(folder)), transcription),
    "speech": (made, speech),
}


@pytest.mark.parametrize("parts", [{"tokenizer": False}, {"model": False}, {}], ids=["model", "tokenizer", "both"])
@pytest.mark.parametrize("loader", LOADERS)
def test_code_of_a_folder_does_not_run_without_the_option(
    loader: str, parts: dict[str, bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: object) -> str:
        pytest.fail("a terminal was asked whether to run the code")

    monkeypatch.setattr("builtins.input", asked)
    write, load = LOADERS[loader]
    folder, marker = write(tmp_path / "model"), tmp_path / "marker"
    plant(folder, marker, **parts)
    with contextlib.suppress(EngineLoadError):
        load(folder)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("loader", "parts"),
    [
        ("language", {"tokenizer": False}),
        ("language", {"model": False}),
        ("embeddings", {"model": False}),
    ],
)
def test_it_runs_with_the_option(
    loader: str, parts: dict[str, bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Otherwise the test above would find nothing.
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    write, load = LOADERS[loader]
    folder, marker = write(tmp_path / "model"), tmp_path / "marker"
    plant(folder, marker, **parts)
    with contextlib.suppress(EngineLoadError):  # The code is no real model.
        load(folder, trust_remote_code=True)
    assert marker.exists()
