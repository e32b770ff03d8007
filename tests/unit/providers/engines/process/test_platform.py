"""Setting a process up for MLX: the BLAS, its threads, and the warning if there is none."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from providers.engines.process import platform


def in_a_process(code: str, **environment: str) -> str:
    """The output of a new interpreter, since a BLAS once loaded stays loaded."""
    env = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_probing_imports_no_mlx() -> None:
    code = "import sys; from providers.engines.process import platform as p; p.describe(); print('mlx' in sys.modules)"
    assert in_a_process(code) == "False"


def test_the_environment_names_the_blas_or_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(platform.BLAS_VARIABLE, "/somewhere/libblas.so")
    found = platform.find_blas()
    assert found is not None
    assert str(found.path) == "/somewhere/libblas.so"
    monkeypatch.setenv(platform.BLAS_VARIABLE, "none")
    assert platform.find_blas() is None


def test_mlx_for_cuda_is_printed_by_what_is_installed_and_set_up_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mlx_cuda_13-0.32.4.dist-info").mkdir()
    (tmp_path / "mlx_cuda_13-0.32.4.dist-info" / "METADATA").write_text("Name: mlx-cuda-13\nVersion: 0.32.4\n")
    driver = tmp_path / "nvidia-smi"
    driver.touch(mode=0o755)
    code = "import os, sys; sys.platform = 'linux'; from providers.engines.process import platform as p; "
    code += "print(p.prepare().device, os.environ.get('MLX_CUDA_USE_CUDNN_SDPA'), os.environ.get('MLX_PTX_CACHE_DIR'))"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kernels = tmp_path / "mlx-openai-server" / "kernels" / f"mlx-{importlib.metadata.version('mlx')}"
    path = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]), "PATH": f"{tmp_path}{os.pathsep}{os.defpath}"}

    assert in_a_process(code, **path).startswith(f"cuda 0 {kernels}/")
    assert in_a_process(code, **path, MLX_CUDA_USE_CUDNN_SDPA="1", MLX_PTX_CACHE_DIR="/else") == "cuda 1 /else"
    driver.unlink()
    assert in_a_process(code, **path) == "cpu None None"


@pytest.mark.parametrize(
    ("environment", "found"),
    [({}, "0 0 None"), ({"NCCL_GRAPH_REGISTER": "1", "NCCL_NVLS_ENABLE": "0"}, "1 0 0")],
)
def test_nccl_registers_nothing_of_graphs_unless_the_environment_says_so(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], found: str
) -> None:
    """The C library's environment, from which NCCL reads."""
    for name in ("NCCL_GRAPH_REGISTER", "NCCL_GRAPH_MIXING_SUPPORT", "NCCL_NVLS_ENABLE"):
        monkeypatch.delenv(name, raising=False)
    code = """
import ctypes
from providers.engines.process import platform as p
p.expected_device = lambda: "cuda"
p.prepare()
names = ("NCCL_GRAPH_REGISTER", "NCCL_GRAPH_MIXING_SUPPORT", "NCCL_NVLS_ENABLE")
read = ctypes.CDLL(None).getenv
read.restype = ctypes.c_char_p
print(*(None if (value := read(name.encode())) is None else value.decode() for name in names))
"""
    assert in_a_process(code, **environment) == found


def test_each_kind_of_gpu_has_kernels_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(platform, "_GPUS", tmp_path)
    assert platform._kernel_folder().name == "gpu"
    for number, model in enumerate(["NVIDIA H200", "NVIDIA GeForce RTX 4090", "NVIDIA H200"]):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t\t 7\n")
    assert platform._kernel_folder().name == "NVIDIA-GeForce-RTX-4090-NVIDIA-H200"


@pytest.mark.parametrize("variable", ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"])
def test_the_environment_sets_the_threads(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert 1 <= platform.blas_threads() <= platform.cpu_count()
    monkeypatch.setenv(variable, "7")
    assert platform.blas_threads() == 7


# As on the Linux CPU, wherever the test runs: a BLAS is preloaded nowhere else.
PREPARE = """
import sys
from providers.engines.process import platform as p
sys.platform, p.expected_device = "linux", lambda: "cpu"
made = p.prepare()
"""


def test_a_blas_that_cannot_be_loaded_is_printed_and_survived() -> None:
    printed = in_a_process(PREPARE + "print(made.blas, made.warning)", MLX_OPENAI_SERVER_BLAS="/nowhere/libopenblas.so")
    assert "reference" in printed
    assert "libopenblas.so cannot be loaded" in printed


def test_turning_the_blas_off_warns_of_nothing() -> None:
    printed = in_a_process(PREPARE + "print(made.blas, '|', made.warning)", MLX_OPENAI_SERVER_BLAS="none")
    assert printed == "reference (bundled with mlx) | None"


def test_mlx_computes_rightly_on_a_preloaded_blas() -> None:
    product = """
import ctypes, mlx.core as mx, numpy as np
a = np.arange(12, dtype=np.float32).reshape(3, 4)
assert np.allclose(np.array(mx.array(a) @ mx.array(a.T)), a @ a.T)
print(hasattr(ctypes.CDLL(None), "openblas_get_num_threads") == ("openblas" in made.blas))
"""
    assert in_a_process(PREPARE + product) == "True"


def test_cached_files_of_a_cgroup_are_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "_CGROUP", str(tmp_path))
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("900000\n")
    assert platform.available_memory() == 100_000
    (tmp_path / "memory.stat").write_text("anon 200000\ninactive_file 500000\nactive_file 200000\n")
    assert platform.available_memory() == 800_000
