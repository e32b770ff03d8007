"""GGUF files become model folders that compute what the same model computes natively."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm import load
from tokenizers import Tokenizer

from providers.engines.convert.gguf.config import model_config
from providers.engines.convert.gguf.conversion import convert, convert_cached
from providers.engines.convert.gguf.errors import GGUFError
from providers.engines.convert.gguf.tokenizer import build_tokenizer, tokenizer_config
from tests.unit.providers.engines import gguf_files, tiny

PROMPT = [5, 17, 99, 140, 7, 30, 200, 77, 5, 17, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54]


def quiet(stage: str, fraction: float | None) -> None:
    """Ignore progress."""


def logits(model: Any) -> np.ndarray[Any, Any]:
    return np.array(model(mx.array([PROMPT])))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gemma3"])
def test_a_float32_file_gives_the_native_models_weights_and_logits(tmp_path: Path, family: str, tied: bool) -> None:
    native = gguf_files.native_model(family, tied=tied)
    convert(gguf_files.write(tmp_path / "m.gguf", family, native), tmp_path / "out", quiet)
    converted, _ = load(str(tmp_path / "out"))
    ours, theirs = dict(tree_flatten(converted.parameters())), dict(tree_flatten(native.parameters()))
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_allclose(np.array(ours[name]), np.array(array), atol=1e-6, err_msg=name)
    np.testing.assert_allclose(logits(converted), logits(native), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("family", ["llama", "qwen3"])
@pytest.mark.parametrize(("kind", "bits"), [("Q4_0", 4), ("Q4_1", 4), ("Q8_0", 8)])
def test_blocks_that_mlx_can_hold_stay_packed_and_mean_the_same(
    tmp_path: Path, family: str, kind: str, bits: int
) -> None:
    native = gguf_files.native_model(family)
    source = gguf_files.write(tmp_path / "m.gguf", family, native, kind=kind)
    convert(source, tmp_path / "out", quiet)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["quantization"]["bits"] == bits
    packed = mx.load(str(tmp_path / "out" / "model.safetensors"))
    name = "model.layers.1.mlp.down_proj"
    parts = [packed[f"{name}.{part}"].astype(mx.float32) for part in ("scales", "biases")]
    ours = np.array(mx.dequantize(packed[f"{name}.weight"], *parts, group_size=32, bits=bits))
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(source).tensors}
    theirs = tensors["blk.1.ffn_down.weight"]
    np.testing.assert_allclose(ours, gguf.dequantize(theirs.data, theirs.tensor_type), rtol=2e-3, atol=1e-4)
    load(str(tmp_path / "out"))


def test_a_packed_llama_answers_as_its_dequantised_self(tmp_path: Path) -> None:
    native = gguf_files.native_model("llama")
    convert(gguf_files.write(tmp_path / "m.gguf", "llama", native, kind="Q8_0"), tmp_path / "out", quiet)
    converted, _ = load(str(tmp_path / "out"))
    # Eight bits change every logit a little; a wrong row order changes them completely.
    close = np.corrcoef(logits(converted).ravel(), logits(native).ravel())[0, 1]
    assert close > 0.999


@pytest.mark.parametrize(("kind", "floats"), [("F16", "float16"), ("BF16", "bfloat16"), ("Q5_0", "float16")])
def test_other_types_become_floating_point(tmp_path: Path, kind: str, floats: str) -> None:
    native = gguf_files.native_model("qwen2")
    convert(gguf_files.write(tmp_path / "m.gguf", "qwen2", native, kind=kind), tmp_path / "out", quiet)
    converted, _ = load(str(tmp_path / "out"))
    kinds = {str(array.dtype).removeprefix("mlx.core.") for _, array in tree_flatten(converted.parameters())}
    assert kinds == {floats}
    ours = logits(converted.apply(lambda array: array.astype(mx.float32)))
    assert np.corrcoef(ours.ravel(), logits(native).ravel())[0, 1] > 0.98


def test_the_tokenizer_template_and_ends_come_along(tmp_path: Path) -> None:
    native = gguf_files.native_model("llama")
    convert(gguf_files.write(tmp_path / "m.gguf", "llama", native), tmp_path / "out", quiet)
    _, wrapper = load(str(tmp_path / "out"))
    text = "hello world, 12 é🎉\n"
    assert wrapper.encode(text, add_special_tokens=False) == tiny.tokenizer().encode(text).ids
    assert wrapper.eos_token_ids == {tiny.END}
    rendered = wrapper.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False)
    assert rendered == "<|start|>user\nx<|end|>"


def test_sampling_defaults_can_be_set_by_the_caller(tmp_path: Path) -> None:
    source = gguf_files.write(tmp_path / "m.gguf", "llama", gguf_files.native_model("llama"))
    command = [sys.executable, "-m", "providers.engines.convert.gguf", str(source), str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--generation", '{"temperature": 0.2}'], capture_output=True, text=True, check=True
    )
    config = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert (config["temperature"], config["eos_token_id"]) == (0.2, [tiny.END])
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [step["fraction"] for step in told] == sorted(step["fraction"] for step in told)
    assert told[-1]["fraction"] == 1.0


def test_a_conversion_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\1" * 400)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(GGUFError, match=r"broken\.gguf"):
        convert(broken, tmp_path / "out", quiet)
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_is_converted_into_the_cache_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = gguf_files.write(tmp_path / "m.gguf", "llama", gguf_files.native_model("llama"))
    first = convert_cached(source, quiet)
    made = (first / "config.json").stat().st_mtime_ns
    renamed = source.rename(tmp_path / "m2.gguf")
    assert convert_cached(renamed.rename(source), quiet) == first
    assert (first / "config.json").stat().st_mtime_ns == made


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({"general.architecture": "mamba"}, "mamba"),
        ({"general.architecture": "llama", "llama.attention.head_count": 4}, "llama.embedding_length"),
    ],
)
def test_metadata_that_cannot_be_used_are_named(meta: dict[str, Any], words: str) -> None:
    with pytest.raises(GGUFError, match=words):
        model_config(meta, {})


def spm_metadata() -> dict[str, Any]:
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "h", "e", "l", "o"]
    pieces += ["he", "ll", "hell", "hello", "▁hello"]
    types = [2, 3, 3, *([6] * 256), *([1] * 10)]
    return {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": pieces,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.scores": [0.0] * 259 + [-float(rank) for rank in range(10)],
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }


def test_a_sentencepiece_vocabulary_merges_by_score_and_falls_back_to_bytes() -> None:
    meta = spm_metadata()
    tokenizer = build_tokenizer(meta)
    pieces = meta["tokenizer.ggml.tokens"]
    encoded = tokenizer.encode("hello é</s>", add_special_tokens=True)
    assert [pieces[id] for id in encoded.ids] == ["<s>", "▁hello", "▁", "<0xC3>", "<0xA9>", "</s>"]
    assert tokenizer.decode(encoded.ids) == "hello é"
    assert tokenizer_config(meta)["bos_token"] == "<s>"


@pytest.mark.parametrize(
    ("pre", "pieces"),
    [
        ("gpt-2", ["It", "'s", "Ġ1234", "!!"]),
        ("smollm", ["It", "'s", "Ġ", "1", "2", "3", "4", "!!"]),
        ("qwen2", ["It", "'s", "Ġ", "1", "2", "3", "4", "!!"]),
        ("llama-bpe", ["It", "'s", "Ġ", "123", "4", "!!"]),
    ],
)
def test_each_pre_tokenizer_splits_as_its_family_does(pre: str, pieces: list[str]) -> None:
    meta = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": pre, "tokenizer.ggml.tokens": tiny.vocabulary()}
    tokenizer: Tokenizer = build_tokenizer(meta)
    assert [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str("It's 1234!!")] == pieces


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tokenizer.ggml.model": "t5"}, "t5"),
        ({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "klingon"}, "klingon"),
    ],
)
def test_an_unknown_tokenizer_is_refused_by_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(GGUFError, match=words):
        build_tokenizer({**spm_metadata(), **change})
