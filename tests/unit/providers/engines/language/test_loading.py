"""Loading: the engine follows every setting of the spec, or refuses with a message."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from providers.chat.types import SamplingParams, TextPrompt
from providers.engines.language.loading import load_language_model, vocabulary_kept
from providers.engines.process.engine import EngineLoadError
from providers.spec import ModelSpec
from tests.unit.providers.engines import gguf_files, tiny
from tests.unit.providers.engines.client import chat
from tests.unit.providers.engines.inprocess import SteppedEngine

NO_END = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})


def test_the_spec_bounds_the_context_below_the_models_own(tiny_folder: Path) -> None:
    assert SteppedEngine(tiny_folder, context_length=100).info.context_length == 100
    assert SteppedEngine(tiny_folder, context_length=10**6).info.context_length == tiny.CONTEXT


def _without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _of_unknown_type(folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "model_type": "perceptron9000"}))


def _with_a_value_missing(folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    del content["hidden_size"]
    (folder / "config.json").write_text(json.dumps(content))


def _with_broken_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0 this is no header at all ...")


def _with_broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def _with_broken_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_without_config, r"config\.json"),
        (_without_weights, "safetensors"),
        (_of_unknown_type, "perceptron9000"),
        (_with_a_value_missing, "hidden_size"),
        (_with_broken_weights, "cannot be loaded"),
        (_with_broken_config, "not valid JSON"),
        (_with_broken_tokenizer, "tokenizer"),
    ],
)
def test_a_folder_that_cannot_be_loaded_is_refused_with_the_reason(
    tmp_path: Path, harm: Callable[[Path], None], words: str
) -> None:
    folder = tiny.write_folder(tmp_path / "model")
    harm(folder)
    with pytest.raises(EngineLoadError, match=words):
        SteppedEngine(folder)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_an_explicit_dtype_is_honoured(tiny_folder: Path, dtype: str) -> None:
    engine = SteppedEngine(tiny_folder, dtype=dtype)
    assert engine.info.dtype == dtype
    assert engine.ask("a", "hello", max_tokens=4).finished is not None


def test_quantising_at_load_is_done_or_refused_by_name(tiny_folder: Path) -> None:
    engine = SteppedEngine(tiny_folder, quantize=8)
    assert "8 bits" in engine.info.dtype
    assert engine.ask("a", "hello", max_tokens=4).finished is not None
    with pytest.raises(EngineLoadError, match="quantize"):
        SteppedEngine(tiny_folder, quantize=7)


@pytest.fixture
def packed_gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return gguf_files.write(tmp_path / "m.gguf", "llama", gguf_files.native_model("llama"), kind="Q8_0")


def test_a_gguf_file_is_served_and_widened_on_the_linux_cpu(packed_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    engine = SteppedEngine(packed_gguf)
    assert engine.info.dtype == "float32"
    assert engine.ask("a", "hello", sampling=NO_END, max_tokens=4).text


def test_weights_are_kept_as_shipped_where_memory_does_not_suffice(packed_gguf: Path) -> None:
    engine = SteppedEngine(packed_gguf, max_memory=200 << 20)
    assert "8 bits" in engine.info.dtype
    assert "kept as shipped" in engine.info.details["dtype_reason"]
    assert engine.ask("a", "hello", max_tokens=4).finished is not None


def test_the_sampling_of_a_request_that_leaves_it_open_is_reported(tmp_path: Path) -> None:
    folder = tiny.write_folder(tmp_path / "warm")
    (folder / "generation_config.json").write_text('{"temperature": 0.6, "top_p": 0.95}')
    assert SteppedEngine(folder).info.details["sampling"] == {"temperature": 0.6, "top_p": 0.95}
    cold = SteppedEngine(folder, sampling=SamplingParams(temperature=0.25))
    assert cold.info.details["sampling"] == {"temperature": 0.25, "top_p": 0.95}


def test_a_model_without_a_template_gets_plain_paragraphs(tmp_path: Path) -> None:
    engine = SteppedEngine(tiny.write_folder(tmp_path / "plain", template=None))
    answer = engine.ask("a", chat(("user", "hi")), sampling=NO_END, max_tokens=6)
    same = engine.ask("b", TextPrompt("user: hi\n\nassistant:"), sampling=NO_END, max_tokens=6)
    assert answer.text == same.text


def test_the_folders_own_sampling_defaults_apply(tmp_path: Path) -> None:
    greedy = SteppedEngine(tiny.write_folder(tmp_path / "greedy", generation={"temperature": 0.0}))
    free = SamplingParams(logit_bias={tiny.END: -100.0})
    texts = {greedy.ask(f"{turn}", "hello", sampling=free, max_tokens=12).text for turn in range(4)}
    assert len(texts) == 1
    assert texts == {greedy.ask("zero", "hello", sampling=NO_END, max_tokens=12).text}


def test_the_vocabulary_is_made_once_while_requests_are_prepared_for(tiny_folder: Path) -> None:
    spec = ModelSpec(name="tiny", path=str(tiny_folder))
    tokenizer = load_language_model(spec, "cpu", lambda *_: None).tokenizer
    before = tokenizer.get_vocab()

    with vocabulary_kept(tokenizer):
        assert tokenizer.get_vocab() is tokenizer.get_vocab()
        assert tokenizer.get_vocab() == before

    assert tokenizer.get_vocab() is not tokenizer.get_vocab()
