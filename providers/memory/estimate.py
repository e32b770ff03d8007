"""The memory that a model will take once it is loaded, from the headers of its files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import attrs

from providers.capabilities import MODALITIES
from providers.engines.process import platform
from providers.memory.part import Split, largest_part, split_of
from providers.memory.precision import choose_dtype
from providers.memory.tensors import Tensor, read_tensors
from providers.spec import ModelSpec
from providers.weights import WeightsError, find_local
from providers.weights.config import read_config

__all__ = ["estimate", "parameter_count", "weight_files"]

_SIZES = {"float32": 4, "float16": 2, "bfloat16": 2}
_GGUF_GROUP = 32
_LOAD_GROUP = 64
"""Weights that share a scale when an engine quantises at load."""
_IN_PARTS = ("image-generation", "image-edit")
"""Model types of which mflux keeps quantised weights as they are, whatever it computes in."""
_PARTS = ("*/*.safetensors", "*.safetensors")
"""An image model has a folder per part; a file beside them is a copy of a part, except where there are no folders."""
_ADAPTERS = ("adapters.safetensors", "adapter_model.safetensors")


def estimate(spec: ModelSpec, split: Split | None = None) -> int | None:
    """Bytes of the model's footprint right after it is loaded and warmed up; None: unknown.

    `split`: among which ranks the model is divided, if not as the spec says; the bytes are those of the rank that takes
    most.

    These are, for each replica, the weights in the precision that the engine will choose (float32 on a CPU is twice
    bfloat16), adapters and draft model included, and what the process itself takes. Keys and values of prompts are not
    included: a model holds none before its first request, so that an estimate with a full context would unload models
    that fit beside this one, and would differ from the footprint that replaces it. The engine refuses a prompt that
    does not fit.

    Unknown are weights that are not on this machine yet, or whose headers cannot be read. Reads only headers and sizes.
    Blocks on the disk: call it in a thread.
    """
    row = MODALITIES.get(spec.model_type)
    if row is None:
        return None
    if row.engine is None:
        return 0
    replicas, spec = spec.replicas, spec.of_replica
    weights = _weights_of(spec, split or split_of(spec))
    if weights is None:
        return None
    if spec.draft_model is not None:
        draft = _weights_of(attrs.evolve(spec, path=spec.draft_model, quantize=None, lora_paths=()))
        weights += draft or 0
    return (weights + row.process_bytes) * replicas


def weight_files(folder: Path, model_type: str) -> list[Path]:
    """The files of a model folder that an engine of this type reads its weights from; empty: there are none."""
    if folder.is_file():
        return [folder]
    patterns: Mapping[str, tuple[str, ...]] = {
        "whisper": ("weights.safetensors", "weights.npz"),
        "tts": ("*.safetensors", "*.npz"),
        **dict.fromkeys(_IN_PARTS, _PARTS),
        "embeddings": ("**/model*.safetensors", "weight*.safetensors"),
    }
    for pattern in patterns.get(model_type, ("model*.safetensors",)):
        if found := sorted(folder.glob(pattern)):
            return found
    return []


def parameter_count(folder: Path, model_type: str) -> int:
    """Weights in the files of a model folder; a quantised weight counts as one."""
    tensors = [tensor for file in weight_files(folder, model_type) for tensor in read_tensors(file)]
    return sum(weights.count for weights in _unpacked(tensors, _group_sizes(folder)))


def _weights_of(spec: ModelSpec, split: Split | None = None) -> int | None:
    try:
        folder = find_local(spec.path)
        if folder is None or not (files := weight_files(folder, spec.model_type)):
            return None
        tensors = [tensor for file in files for tensor in read_tensors(file)]
        adapters = sum(_adapter_bytes(Path(path)) for path in spec.lora_paths)
    except (OSError, ValueError, WeightsError):
        return None
    groups = _group_sizes(folder)
    parameters = sum(weights.count for weights in _unpacked(tensors, groups))
    if split is not None:
        config = {} if folder.is_file() else read_config(folder)
        tensors = largest_part(tensors, config, split)
    return _loaded_bytes(tensors, groups, spec, parameters) + adapters


@attrs.frozen(kw_only=True)
class _Weights:
    """One tensor of the model, unpacked if it is quantised."""

    count: int
    packed: bool
    matrix: bool
    """Whether an engine that quantises packs it."""


def _loaded_bytes(tensors: list[Tensor], groups: Mapping[str, int], spec: ModelSpec, whole: int) -> int:
    """Bytes of the weights in the precision that the engine chooses.

    `groups`: as `_group_sizes` returns. `whole`: count of all weights of the model.
    """
    unpacked = list(_unpacked(tensors, groups))
    parameters = sum(weights.count for weights in unpacked)
    if spec.model_type == "tts":
        target: str | None = "float32"  # the only type in which Kokoro's engine computes
    else:
        target, _ = choose_dtype(whole, spec, platform.expected_device())
    if spec.model_type in _IN_PARTS and any(weights.packed for weights in unpacked):
        return _packed_bytes(tensors, _SIZES[target or "bfloat16"])
    if target is None and spec.quantize is None:
        return sum(tensor.nbytes for tensor in tensors)
    size = 2 if target is None else _SIZES[target]
    if spec.quantize is None:
        return parameters * size
    again = any(weights.packed for weights in unpacked)
    matrices = sum(weights.count for weights in unpacked if (weights.packed if again else weights.matrix))
    # Each group has a scale and a bias.
    packed = matrices * spec.quantize // 8 + 2 * matrices // _LOAD_GROUP * size
    return packed + (parameters - matrices) * size


def _packed_bytes(tensors: list[Tensor], size: int) -> int:
    """Bytes of quantised weights that stay so, with the others in a type of `size` bytes."""
    scaled = {tensor.name.rpartition(".")[0] for tensor in tensors if tensor.name.endswith(".scales")}
    return sum(tensor.nbytes if tensor.name.rpartition(".")[0] in scaled else tensor.size * size for tensor in tensors)


def _unpacked(tensors: Iterable[Tensor], groups: Mapping[str, int]) -> Iterator[_Weights]:
    by_name = {tensor.name: tensor for tensor in tensors}
    for name, tensor in by_name.items():
        layer, _, kind = name.rpartition(".")
        scales = by_name.get(f"{layer}.scales")
        if scales is None:
            matrix = tensor.is_floating and len(tensor.shape) == 2
            yield _Weights(count=tensor.size, packed=tensor.dtype == "Q", matrix=matrix)
        elif kind == "weight":
            yield _Weights(count=scales.size * groups.get(layer, groups.get("", _LOAD_GROUP)), packed=True, matrix=True)
        elif kind not in ("scales", "biases"):
            yield _Weights(count=tensor.size, packed=False, matrix=False)


def _group_sizes(folder: Path) -> dict[str, int]:
    """Weights that share a scale, by the layer's name; the empty name has that of all other layers."""
    if folder.is_file():
        return {"": _GGUF_GROUP}
    quantization = read_config(folder).get("quantization")
    if not isinstance(quantization, dict):
        return {}
    sizes = {
        name: value["group_size"]
        for name, value in quantization.items()
        if isinstance(value, dict) and isinstance(value.get("group_size"), int)
    }
    if isinstance(quantization.get("group_size"), int):
        sizes[""] = quantization["group_size"]
    return sizes


def _adapter_bytes(folder: Path) -> int:
    """Bytes of an adapter. Merged into floating-point weights it takes none; its file is small either way."""
    return sum((folder / name).stat().st_size for name in _ADAPTERS if (folder / name).is_file())
