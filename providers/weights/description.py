"""What is known of the weights on this machine, from their files."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import attrs

from providers.capabilities import ModelType
from providers.memory.estimate import estimate, weight_files
from providers.memory.tensors import Tensor, read_tensors
from providers.spec import ModelSpec
from providers.weights.config import guess_type, model_context, read_config
from providers.weights.embedded import embedded_model
from providers.weights.errors import UnknownWeights
from providers.weights.resolve import EMBEDDED_PREFIX, find_local, hub_repo

__all__ = ["Description", "Source", "describe"]

Source = Literal["embedded", "hub", "local"]

_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_LICENSE = re.compile(r"^license:[ ]*([^\n]+)$", re.MULTILINE)


@attrs.frozen(kw_only=True)
class Description:
    """Weights on this machine. Sizes are bytes."""

    model: str
    source: Source
    path: Path
    revision: str | None
    """Commit of a repository, packages of an embedded model; None for a local path."""
    size: int
    files: dict[str, int]
    """Size by path below `path`."""
    model_type: ModelType
    """How the server serves it, as far as the files show."""
    architecture: str | None
    dtype: str | None
    """The floating-point type of most bytes, as stored."""
    quantization: str | None
    """In words; None for plain weights."""
    context_length: int | None
    """Tokens."""
    memory: int | None
    """Estimate of what it takes once it is loaded."""
    license: str | None


def describe(name: str) -> Description:
    """Describe a model by the name that `launch --model-path` accepts. Downloads nothing.

    Raises:
        UnknownWeights: it is not on this machine.
        WeightsError: a local path is not a model.
    """
    path = find_local(name)
    if path is None:
        if name.startswith(EMBEDDED_PREFIX):
            embedded_model(name.removeprefix(EMBEDDED_PREFIX))
        fetchable = name.startswith(EMBEDDED_PREFIX) or hub_repo(name) is not None
        advice = (
            f"`mlx-openai-server models pull {name}` fetches it." if fetchable else "There is no such file or folder."
        )
        raise UnknownWeights(f"{name} is not complete on this machine. {advice}")
    folder = path if path.is_dir() else path.parent
    config = read_config(path) if path.is_dir() else {}
    source = _source(name)
    model = embedded_model(name.removeprefix(EMBEDDED_PREFIX)) if source == "embedded" else None
    model_type = guess_type(folder, config) if model is None else model.model_type
    tensors = _tensors(path, model_type)
    files = _files(path)
    return Description(
        model=name,
        source=source,
        path=path,
        revision=_revision(name, source, path),
        size=sum(files.values()),
        files=files,
        model_type=model_type,
        architecture=_architecture(config),
        dtype=_dtype(tensors),
        quantization=_quantization(config, tensors),
        context_length=model_context(config),
        memory=estimate(ModelSpec(name=name, path=name, model_type=model_type)),
        license=_license(folder) if model is None else model.license,
    )


def _source(name: str) -> Source:
    if name.startswith(EMBEDDED_PREFIX):
        return "embedded"
    return "local" if Path(name).expanduser().exists() else "hub"


def _revision(name: str, source: Source, path: Path) -> str | None:
    if source == "embedded":
        return " ".join(wheel.requirement for wheel in embedded_model(name.removeprefix(EMBEDDED_PREFIX)).wheels)
    return path.name if source == "hub" else None


def _files(path: Path) -> dict[str, int]:
    if path.is_file():
        return {path.name: path.stat().st_size}
    found = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    return {file.relative_to(path).as_posix(): file.stat().st_size for file in found}


def _tensors(path: Path, model_type: ModelType) -> list[Tensor]:
    try:
        return [tensor for file in weight_files(path, model_type) for tensor in read_tensors(file)]
    except (OSError, ValueError):
        return []


def _dtype(tensors: list[Tensor]) -> str | None:
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        if tensor.is_floating:
            sizes[tensor.dtype] += tensor.nbytes
    return _DTYPES[max(sizes, key=lambda dtype: sizes[dtype])] if sizes else None


def _architecture(config: dict[str, Any]) -> str | None:
    names = config.get("architectures")
    if isinstance(names, list) and names:
        return str(names[0])
    return str(config["model_type"]) if "model_type" in config else None


def _quantization(config: dict[str, Any], tensors: list[Tensor]) -> str | None:
    found = config.get("quantization")
    if isinstance(found, dict) and isinstance(found.get("bits"), int):
        others = {layer["bits"] for layer in found.values() if isinstance(layer, dict) and "bits" in layer}
        mixed = "".join(f", some layers {bits}" for bits in sorted(others - {found["bits"]}))
        return f"{found['bits']} bits in groups of {found.get('group_size')}{mixed}"
    packed = [tensor for tensor in tensors if tensor.dtype == "Q"]
    weights = sum(tensor.size for tensor in packed)
    return f"{8 * sum(tensor.nbytes for tensor in packed) / weights:.1f} bits per weight" if weights else None


def _license(folder: Path) -> str | None:
    """The licence that the model's card names."""
    try:
        card = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    head = card.split("---", 2)[1] if card.startswith("---") and card.count("---") >= 2 else ""
    found = _LICENSE.search(head)
    return found[1].strip().strip("\"'") if found is not None else None
