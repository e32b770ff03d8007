"""The conversion of a GGUF file, and its cache.

All settings come from the file's metadata. Q4_0, Q4_1 and Q8_0 stay packed, because MLX can hold the same bits. F32,
F16 and BF16 stay as they are. All other types are dequantised to float16.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx

from providers.engines.convert.folders import write_json, written_whole
from providers.engines.convert.gguf.config import generation_config, head_counts, model_config
from providers.engines.convert.gguf.errors import GGUFError
from providers.engines.convert.gguf.tensors import GROUP_SIZE, Weights, convert_tensors
from providers.engines.convert.gguf.tokenizer import build_tokenizer, tokenizer_config
from providers.engines.process.engine import Progress
from providers.folders import cache_folder

__all__ = ["convert", "convert_cached"]

REVISION = 1
"""Increase it when the same file would give another folder, so that cached folders are converted again."""
_IDENTITY_BYTES = 1 << 20


def convert(
    source: Path, destination: Path, progress: Progress, *, generation: Mapping[str, Any] | None = None
) -> None:
    """Write the model folder `destination`, completely or not at all. An existing folder is replaced.

    Args:
        generation: entries for generation_config.json that override the file's own.

    Raises:
        GGUFError: the file is broken or holds something unknown.
        FileNotFoundError: there is no such file.
        OSError: the folder cannot be written.
    """
    progress("reading the file", 0.0)
    meta, tensors = _read(source)
    config = model_config(meta, {tensor.name: tensor for tensor in tensors})
    weights = convert_tensors(
        tensors,
        str(meta["general.architecture"]),
        head_counts(meta),
        lambda done: progress("converting weights", 0.05 + 0.75 * done),
    )
    if weights.quantized:
        config["quantization"] = _quantization(weights)
    progress("converting the tokenizer", 0.8)
    tokenizer = build_tokenizer(meta)
    with written_whole(destination) as folder:
        progress("writing", 0.9)
        mx.save_safetensors(str(folder / "model.safetensors"), weights.arrays, metadata={"format": "mlx"})
        tokenizer.save(str(folder / "tokenizer.json"))
        write_json(folder / "tokenizer_config.json", tokenizer_config(meta))
        write_json(folder / "generation_config.json", generation_config(meta, generation or {}))
        write_json(folder / "config.json", config)
    progress("done", 1.0)


def convert_cached(source: Path, progress: Progress) -> Path:
    """The folder of a GGUF file in the user's cache. The first call converts the file.

    Raises: as `convert`.
    """
    folder = cache_folder() / "gguf" / f"{source.stem}-{_identity(source)}"
    if not (folder / "config.json").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        convert(source, folder, progress)
    return folder


def _read(source: Path) -> tuple[dict[str, Any], list[Any]]:
    from gguf import GGUFReader

    if not source.is_file():
        raise FileNotFoundError(source)
    try:
        reader = GGUFReader(source)
        meta = {name: field.contents() for name, field in reader.fields.items()}
    except Exception as error:
        raise GGUFError(f"{source.name} is not a readable GGUF file: {error}") from error
    return meta, list(reader.tensors)


def _quantization(weights: Weights) -> dict[str, Any]:
    """mlx-lm's `quantization`: the bits of most layers, then every layer that differs, by name."""
    bits = [layer.bits for layer in weights.quantized.values()]
    usual = max(set(bits), key=bits.count)
    config: dict[str, Any] = {"group_size": GROUP_SIZE, "bits": usual}
    for path, layer in weights.quantized.items():
        if layer.bits != usual:
            config[path] = {"group_size": GROUP_SIZE, "bits": layer.bits}
    return config


def _identity(source: Path) -> str:
    """A name for the file's content that is quick to compute: a hash of its size, its beginning and its end."""
    size = source.stat().st_size
    digest = hashlib.sha256(f"{REVISION} {size} ".encode())
    with source.open("rb") as file:
        digest.update(file.read(_IDENTITY_BYTES))
        file.seek(max(0, size - _IDENTITY_BYTES))
        digest.update(file.read(_IDENTITY_BYTES))
    return digest.hexdigest()[:16]
