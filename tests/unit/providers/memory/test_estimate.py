"""The estimate of a model's memory, from files that hold a header and nothing else."""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
from pathlib import Path
from typing import Any

import attrs
import pytest

from providers.capabilities import MODALITIES
from providers.engines.process import platform
from providers.memory.estimate import estimate
from providers.memory.precision import choose_dtype
from providers.memory.tensors import read_tensors
from providers.spec import ModelSpec

BYTES = {"F32": 4, "F16": 2, "BF16": 2, "U32": 4, "U8": 1}
PROCESS = MODALITIES["lm"].process_bytes


def safetensors(file: Path, **tensors: tuple[str, tuple[int, ...]]) -> Path:
    """A file of tensors (type and shape, by name) whose content is a hole in the file."""
    header: dict[str, Any] = {"__metadata__": {"format": "mlx"}}
    end = 0
    for name, (dtype, shape) in tensors.items():
        start, end = end, end + math.prod(shape) * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    raw = json.dumps(header).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as handle:
        handle.write(struct.pack("<Q", len(raw)) + raw)
        handle.truncate(8 + len(raw) + end)
    return file


def folder(path: Path, config: dict[str, Any] | None = None, **tensors: tuple[str, tuple[int, ...]]) -> Path:
    safetensors(path / "model.safetensors", **tensors)
    (path / "config.json").write_text(json.dumps(config or {}))
    return path


def lm(path: Path, **options: Any) -> ModelSpec:
    return ModelSpec(name="m", path=str(path), **options)


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """A model of 1,064,960 weights in bfloat16."""
    return folder(tmp_path / "half", embed=("BF16", (1000, 1024)), norm=("BF16", (40960,)))


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A layer of 1,048,576 weights packed to 4 bits in groups of 32, and a norm of 1,024."""
    return folder(
        tmp_path / "packed",
        {"quantization": {"group_size": 64, "bits": 8, "layer": {"group_size": 32, "bits": 4}}},
        **{
            "layer.weight": ("U32", (1024, 128)),
            "layer.scales": ("F16", (1024, 32)),
            "layer.biases": ("F16", (1024, 32)),
            "norm.weight": ("F16", (1024,)),
        },
    )


@pytest.fixture
def metal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "expected_device", lambda: "metal")


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "expected_device", lambda: "cpu")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(platform, "available_memory", lambda: 8 << 30)


@pytest.mark.usefixtures("metal")
def test_weights_count_as_shipped_on_metal(half: Path, packed: Path) -> None:
    assert estimate(lm(half)) == PROCESS + 2 * 1_064_960
    assert estimate(lm(packed)) == PROCESS + 4 * 1024 * 128 + 2 * 2 * 1024 * 32 + 2 * 1024


@pytest.mark.usefixtures("cpu")
def test_the_fast_precision_of_a_cpu_counts(half: Path, packed: Path) -> None:
    assert estimate(lm(half)) == PROCESS + 4 * 1_064_960
    assert estimate(lm(packed)) == PROCESS + 4 * (1_048_576 + 1024)


@pytest.mark.usefixtures("cpu")
def test_weights_that_do_not_fit_widened_count_as_shipped(half: Path) -> None:
    assert estimate(lm(half, max_memory=1 << 30)) == PROCESS + 2 * 1_064_960


@pytest.mark.usefixtures("metal")
def test_a_requested_precision_counts(half: Path, packed: Path) -> None:
    assert estimate(lm(half, dtype="float32")) == PROCESS + 4 * 1_064_960
    assert estimate(lm(packed, dtype="float16")) == PROCESS + 2 * (1_048_576 + 1024)


@pytest.mark.usefixtures("metal")
def test_a_quantisation_at_load_counts(half: Path, packed: Path) -> None:
    def groups(matrix: int) -> int:
        return 2 * 2 * matrix // 64

    assert estimate(lm(half, quantize=4)) == PROCESS + 1_024_000 // 2 + groups(1_024_000) + 2 * 40_960
    assert estimate(lm(packed, quantize=8)) == PROCESS + 1_048_576 + groups(1_048_576) + 2 * 1024


@pytest.mark.usefixtures("metal")
def test_adapters_and_a_draft_model_are_added(half: Path, packed: Path, tmp_path: Path) -> None:
    adapter = safetensors(tmp_path / "lora" / "adapters.safetensors", a=("F32", (8, 100)))
    plain = estimate(lm(half))
    assert plain is not None
    assert estimate(lm(half, lora_paths=(str(adapter.parent),))) == plain + adapter.stat().st_size
    draft = estimate(lm(packed))
    assert draft is not None
    assert estimate(lm(half, draft_model=str(packed))) == plain + draft - PROCESS


@pytest.mark.usefixtures("metal")
def test_every_shard_counts(tmp_path: Path) -> None:
    sharded = folder(tmp_path / "m", a=("BF16", (10, 10)))
    safetensors(sharded / "model-00002-of-00002.safetensors", b=("BF16", (10, 10)))
    assert estimate(lm(sharded)) == PROCESS + 400


@pytest.mark.usefixtures("metal")
def test_a_speech_model_is_always_float32(tmp_path: Path) -> None:
    spec = ModelSpec(name="m", path=str(folder(tmp_path / "m", a=("F16", (10, 10)))), model_type="tts")
    assert estimate(spec) == MODALITIES["tts"].process_bytes + 400


@pytest.mark.parametrize("path", ["embedded:no-such-model", "org/never-fetched", "/no/such/folder", ""])
def test_weights_that_are_not_here_are_unknown(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert estimate(ModelSpec(name="m", path=path)) is None


@pytest.mark.parametrize("content", [b"", b"\xff" * 20, struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 9) + b"{"])
def test_an_unreadable_header_is_unknown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(content)
    assert estimate(lm(tmp_path)) is None


def test_a_model_without_a_process_takes_nothing() -> None:
    assert estimate(ModelSpec(name="echo", path="", model_type="echo")) == 0


def test_every_engine_has_a_measured_process() -> None:
    assert all((row.process_bytes > 0) == (row.engine is not None) for row in MODALITIES.values())


def test_an_npz_file_is_read_by_its_headers(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    buffer = io.BytesIO()
    numpy.save(buffer, numpy.zeros((3, 5), numpy.float16))
    with zipfile.ZipFile(tmp_path / "weights.npz", "w") as archive:
        archive.writestr("a.weight.npy", buffer.getvalue())
    (tensor,) = read_tensors(tmp_path / "weights.npz")
    assert (tensor.name, tensor.dtype, tensor.shape) == ("a.weight", "F16", (3, 5))


@pytest.mark.usefixtures("cpu")
def test_a_gguf_file_is_read_by_its_header(tmp_path: Path) -> None:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    words = text("words") + struct.pack("<IIQ", 9, 8, 2) + text("one") + text("two")
    numbers = text("numbers") + struct.pack("<IIQ", 9, 4, 3) + bytes(12)
    layers = text("architecture") + struct.pack("<I", 8) + text("llama")
    count = text("layers") + struct.pack("<II", 4, 7)
    tensors = text("a") + struct.pack("<IQQIQ", 2, 64, 10, 2, 0) + text("b") + struct.pack("<IQIQ", 1, 64, 0, 384)
    head = struct.pack("<4sIQQ", b"GGUF", 3, 2, 4) + words + numbers + layers + count + tensors
    file = tmp_path / "m.gguf"
    file.write_bytes(head + bytes(384 + 256))
    assert [(tensor.dtype, tensor.shape, tensor.nbytes) for tensor in read_tensors(file)] == [
        ("Q", (64, 10), 384),
        ("F32", (64,), 256),
    ]
    assert estimate(lm(file)) == PROCESS + 4 * (640 + 64)


@pytest.mark.usefixtures("cpu")
def test_the_parts_of_an_image_model_count_and_copies_of_them_do_not(tmp_path: Path) -> None:
    safetensors(tmp_path / "vae" / "0.safetensors", conv=("BF16", (64, 3, 3, 64)))
    safetensors(tmp_path / "transformer" / "0.safetensors", layer=("BF16", (1024, 1024)))
    safetensors(tmp_path / "flux1-dev.safetensors", layer=("BF16", (1024, 1024)))
    spec = lm(tmp_path, model_type="image-generation")
    process = MODALITIES["image-generation"].process_bytes

    assert estimate(spec) == process + 4 * (36_864 + 1_048_576)

    quantised = {"weight": ("U32", (1024, 128)), "scales": ("BF16", (1024, 16)), "biases": ("BF16", (1024, 16))}
    layers = {f"layer.{name}": value for name, value in quantised.items()}
    safetensors(tmp_path / "transformer" / "0.safetensors", **layers)
    assert estimate(spec) == process + 4 * 36_864 + 4 * 1024 * 128 + 2 * 2 * 1024 * 16


@pytest.mark.usefixtures("metal")
def test_every_replica_counts(half: Path) -> None:
    assert estimate(lm(half, replicas=3)) == 3 * (PROCESS + 2 * 1_064_960)


@pytest.mark.usefixtures("cpu")
def test_a_replica_that_loads_beside_others_is_widened_if_it_fits() -> None:
    spec = ModelSpec(name="a", path="a", replicas=4)
    assert choose_dtype(1 << 30, spec, "cpu")[0] is None
    assert choose_dtype(1 << 30, attrs.evolve(spec, loading_together=1), "cpu")[0] == "float32"


@pytest.mark.usefixtures("cpu")
def test_replicas_are_widened_if_all_of_them_fit(half: Path) -> None:
    assert estimate(lm(half, replicas=2, max_memory=4 << 30)) == 2 * (PROCESS + 4 * 1_064_960)
    assert estimate(lm(half, replicas=2, max_memory=2 << 30)) == 2 * (PROCESS + 2 * 1_064_960)
