"""A CTranslate2 Whisper becomes a folder of mlx-whisper's format, weight for weight."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from providers.engines.convert.whisper import CT2Error, convert
from tests.unit.providers.engines.tiny_whisper import HEADS, LAYERS, MELS, VOCABULARY, WIDTH, random_whisper

CODES = {np.dtype(np.float32): 0, np.dtype(np.int8): 1, np.dtype(np.int16): 2, np.dtype(np.float16): 4}
Arrays = dict[str, np.ndarray[Any, Any]]


def text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def write(folder: Path, arrays: Mapping[str, Any], *, spec: str = "WhisperSpec", version: int = 6) -> Path:
    """Write the file by the description of the format, as CTranslate2's own exporter does."""
    body = struct.pack("<I", version) + text(spec) + struct.pack("<II", 3, len(arrays))
    for name, array in arrays.items():
        body += text(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        body += struct.pack("<BI", CODES[array.dtype], array.nbytes) + array.tobytes()
    body += struct.pack("<I", 0)
    folder.mkdir(exist_ok=True)
    (folder / "model.bin").write_bytes(body)
    (folder / "config.json").write_text(json.dumps({"alignment_heads": [[0, 1]]}))
    return folder


def as_ct2(model: Any) -> Arrays:
    """The weights of an mlx-whisper model under CTranslate2's names."""
    given = {name: np.array(array.astype(mx.float16)) for name, array in tree_flatten(model.parameters())}
    made: Arrays = {f"{stack}/num_heads": np.array(HEADS, np.int16) for stack in ("encoder", "decoder")}
    for conv in ("conv1", "conv2"):
        made[f"encoder/{conv}/weight"] = np.ascontiguousarray(given[f"encoder.{conv}.weight"].transpose(0, 2, 1))
        made[f"encoder/{conv}/bias"] = given[f"encoder.{conv}.bias"]

    def norm(target: str, source: str) -> None:
        made[f"{target}/gamma"], made[f"{target}/beta"] = given[f"{source}.weight"], given[f"{source}.bias"]

    def linear(target: str, *sources: str) -> None:
        made[f"{target}/weight"] = np.concatenate([given[f"{source}.weight"] for source in sources])
        width = len(made[f"{target}/weight"]) // len(sources)
        made[f"{target}/bias"] = np.concatenate(
            [given.get(f"{source}.bias", np.zeros(width, np.float16)) for source in sources]
        )

    norm("encoder/layer_norm", "encoder.ln_post")
    norm("decoder/layer_norm", "decoder.ln")
    made["decoder/embeddings/weight"] = given["decoder.token_embedding.weight"]
    made["decoder/position_encodings/encodings"] = given["decoder.positional_embedding"]
    for stack in ("encoder", "decoder"):
        for layer in range(LAYERS):
            to, of = f"{stack}/layer_{layer}", f"{stack}.blocks.{layer}"
            linear(f"{to}/self_attention/linear_0", *(f"{of}.attn.{part}" for part in ("query", "key", "value")))
            linear(f"{to}/self_attention/linear_1", f"{of}.attn.out")
            norm(f"{to}/self_attention/layer_norm", f"{of}.attn_ln")
            if stack == "decoder":
                linear(f"{to}/attention/linear_0", f"{of}.cross_attn.query")
                linear(f"{to}/attention/linear_1", f"{of}.cross_attn.key", f"{of}.cross_attn.value")
                linear(f"{to}/attention/linear_2", f"{of}.cross_attn.out")
                norm(f"{to}/attention/layer_norm", f"{of}.cross_attn_ln")
            linear(f"{to}/ffn/linear_0", f"{of}.mlp1")
            linear(f"{to}/ffn/linear_1", f"{of}.mlp2")
            norm(f"{to}/ffn/layer_norm", f"{of}.mlp_ln")
    return made


def silent(stage: str, fraction: float | None) -> None: ...


def test_every_weight_arrives_where_it_belongs(tmp_path: Path) -> None:
    model = random_whisper()
    convert(write(tmp_path / "source", as_ct2(model)), tmp_path / "made", silent)

    made = dict(mx.load(str(tmp_path / "made" / "weights.safetensors")).items())
    expected = dict(tree_flatten(model.parameters()))
    assert made.pop("alignment_heads").tolist() == [[0, 1]]
    assert set(made) == set(expected)
    for name, array in expected.items():
        assert mx.array_equal(made[name], array.astype(mx.float16)), name
    config = json.loads((tmp_path / "made" / "config.json").read_text())
    assert (config["n_audio_state"], config["n_vocab"], config["n_mels"]) == (WIDTH, VOCABULARY, MELS)
    assert (config["n_audio_layer"], config["n_text_layer"], config["n_text_head"]) == (LAYERS, LAYERS, HEADS)


def test_int8_weights_are_widened_by_the_scale_of_their_row(tmp_path: Path) -> None:
    arrays = as_ct2(random_whisper())
    name = "encoder/layer_0/ffn/linear_0/weight"
    shape = arrays[name].shape
    arrays[name] = np.arange(shape[0] * shape[1], dtype=np.int64).astype(np.int8).reshape(shape)
    arrays[f"{name}_scale"] = np.full(shape[0], 4.0, np.float32)

    convert(write(tmp_path / "source", arrays), tmp_path / "made", silent)

    made = mx.load(str(tmp_path / "made" / "weights.safetensors"))["encoder.blocks.0.mlp1.weight"]
    np.testing.assert_allclose(np.array(made), arrays[name].astype(np.float32) / 4, rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"spec": "TransformerSpec"}, "not a WhisperSpec"), ({"version": 99}, "version 99 is unknown")],
)
def test_another_model_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    source = write(tmp_path / "source", {"x": np.zeros(1, np.float32)}, **options)
    with pytest.raises(CT2Error, match=message):
        convert(source, tmp_path / "made", silent)
    assert not (tmp_path / "made").exists()


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "source", as_ct2(random_whisper()))
    content = (source / "model.bin").read_bytes()
    (source / "model.bin").write_bytes(content[: len(content) // 2])
    with pytest.raises(CT2Error, match="ends too early"):
        convert(source, tmp_path / "made", silent)


def test_a_missing_weight_is_named(tmp_path: Path) -> None:
    arrays = as_ct2(random_whisper())
    del arrays["decoder/layer_0/attention/linear_2/weight"]
    with pytest.raises(CT2Error, match="decoder/layer_0/attention/linear_2/weight is missing"):
        convert(write(tmp_path / "source", arrays), tmp_path / "made", silent)
