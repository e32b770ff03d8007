"""The tensors of a GGUF file as MLX weights: names, quantisation blocks, row order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import mlx.core as mx
import numpy as np

from providers.engines.convert.gguf.errors import GGUFError

__all__ = ["GROUP_SIZE", "Quantization", "Weights", "convert_tensors", "mlx_name"]

GROUP_SIZE = 32
"""Elements that share a scale, in every GGUF quantisation that MLX can hold without a change."""

_BLOCK = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
# Gemma normalises before and after both halves of a block, and llama.cpp gives the norms other names.
_GEMMA_BLOCK = {
    **_BLOCK,
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_NAME = re.compile(r"(?:blk\.(?P<layer>\d+)\.)?(?P<stem>\w+)\.(?P<suffix>weight|bias)")


@attrs.frozen(kw_only=True)
class Quantization:
    """How one layer's weights are packed: affine, with `GROUP_SIZE` elements per group."""

    bits: int


@attrs.define(kw_only=True)
class Weights:
    """The weights of a GGUF file, in MLX's names and layouts. `quantized`: by layer path."""

    arrays: dict[str, mx.array] = attrs.field(factory=dict)
    quantized: dict[str, Quantization] = attrs.field(factory=dict)


def mlx_name(name: str, architecture: str) -> str | None:
    """mlx-lm's name of a GGUF tensor, or None if this architecture has none."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    block = _GEMMA_BLOCK if architecture == "gemma3" else _BLOCK
    layer = match["layer"]
    stem = _OUTER.get(match["stem"]) if layer is None else block.get(match["stem"])
    if stem is None:
        return None
    return f"{stem}.{match['suffix']}" if layer is None else f"model.layers.{layer}.{stem}.{match['suffix']}"


def convert_tensors(
    tensors: list[Any], architecture: str, heads: Mapping[str, int], progress: Callable[[float], None]
) -> Weights:
    """Every weight of the file. `tensors`: gguf's `ReaderTensor`s; `heads`: query heads as `q`, key heads as `k`.

    Raises:
        GGUFError: a tensor does not belong to this architecture, or has an unknown type.
    """
    weights = Weights()
    floating = _floating_type(tensors)
    for done, tensor in enumerate(tensors):
        if tensor.name == "rope_freqs.weight":  # part of the config: see `config`
            continue
        name = mlx_name(tensor.name, architecture)
        if name is None:
            raise GGUFError(f"tensor {tensor.name!r} does not belong to a {architecture} model")
        path = name.removesuffix(".weight")
        for suffix, array in _parts(tensor, floating):
            if architecture == "llama" and path.endswith(("q_proj", "q_proj.bias", "k_proj", "k_proj.bias")):
                array = _unpermute(array, heads["q" if ".q_proj" in path else "k"])
            if architecture == "gemma3" and "norm" in path:
                array = (array.astype(mx.float32) - 1.0).astype(floating)  # llama.cpp stores 1 + weight
            if suffix == "weight" and name.endswith(".bias"):
                weights.arrays[name] = array
            else:
                weights.arrays[f"{path}.{suffix}"] = array
            if suffix == "scales":
                weights.quantized[path] = Quantization(bits=_PACKED[tensor.tensor_type.name][0])
        mx.eval([array for key, array in weights.arrays.items() if key.startswith(path)])
        progress((done + 1) / len(tensors))
    return weights


def _floating_type(tensors: list[Any]) -> mx.Dtype:
    """The type of all weights that are not packed: that of the matrices, so that norms do not widen activations."""
    kinds = {tensor.tensor_type.name for tensor in tensors if len(tensor.shape) > 1}
    if kinds <= {"F32"}:
        return mx.float32
    return mx.bfloat16 if kinds <= {"BF16", "F32"} else mx.float16


def _parts(tensor: Any, floating: mx.Dtype) -> Iterator[tuple[str, mx.array]]:
    """(`weight`, array) of a plain tensor; weight, scales and biases of a tensor that MLX can hold packed."""
    kind = tensor.tensor_type.name
    shape = [int(length) for length in reversed(tensor.shape)]
    if kind in _PACKED and len(shape) == 2:
        bits, unpack = _PACKED[kind]
        packed, scales, biases = unpack(np.asarray(tensor.data).reshape(shape[0], shape[1] // GROUP_SIZE, -1))
        yield "weight", mx.array(packed.reshape(shape[0], shape[1] * bits // 32))
        yield "scales", mx.array(scales)
        yield "biases", mx.array(biases)
        return
    yield "weight", mx.array(_plain(tensor).reshape(shape)).astype(floating)


def _plain(tensor: Any) -> np.ndarray[Any, Any]:
    from gguf import dequantize

    if tensor.tensor_type.name in ("F32", "F16"):
        return np.asarray(tensor.data)
    try:
        return np.asarray(dequantize(tensor.data, tensor.tensor_type))
    except (NotImplementedError, ValueError, KeyError) as error:
        raise GGUFError(f"tensor {tensor.name!r} has type {tensor.tensor_type.name}, which cannot be read") from error


_Unpacked = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]


def _unpack_q4_0(blocks: np.ndarray[Any, Any]) -> _Unpacked:
    """Blocks (rows, groups, 18 bytes): a float16 scale and 32 nibbles that stand for -8 to 7."""
    scales = _halves(blocks[..., :2])
    return _pack_nibbles(blocks[..., 2:]), scales, scales * np.float16(-8)


def _unpack_q4_1(blocks: np.ndarray[Any, Any]) -> _Unpacked:
    """Blocks (rows, groups, 20 bytes): a float16 scale, a float16 minimum and 32 nibbles."""
    return _pack_nibbles(blocks[..., 4:]), _halves(blocks[..., :2]), _halves(blocks[..., 2:4])


def _unpack_q8_0(blocks: np.ndarray[Any, Any]) -> _Unpacked:
    """Blocks (rows, groups, 34 bytes): a float16 scale and 32 signed bytes."""
    scales = _halves(blocks[..., :2])
    unsigned = np.ascontiguousarray(blocks[..., 2:]) ^ np.uint8(0x80)
    return unsigned.view(np.uint32), scales, scales * np.float16(-128)


_PACKED: dict[str, tuple[int, Callable[[np.ndarray[Any, Any]], _Unpacked]]] = {
    "Q4_0": (4, _unpack_q4_0),
    "Q4_1": (4, _unpack_q4_1),
    "Q8_0": (8, _unpack_q8_0),
}


def _halves(pairs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(pairs).view(np.float16)[..., 0]


def _pack_nibbles(nibbles: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """GGUF puts elements 0 to 15 in the low nibbles and 16 to 31 in the high ones; MLX packs them in order."""
    elements = np.concatenate([nibbles & 0x0F, nibbles >> 4], axis=-1)
    return np.ascontiguousarray(elements[..., 0::2] | (elements[..., 1::2] << 4)).view(np.uint32)


def _unpermute(array: mx.array, heads: int) -> mx.array:
    """Undo llama.cpp's row order for rotary embeddings, which interleaves each head's halves; MLX's does not."""
    rows, *rest = array.shape
    return array.reshape(heads, rows // heads // 2, 2, *rest).swapaxes(1, 2).reshape(rows, *rest)
