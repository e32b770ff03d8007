"""What an engine process runs on: the BLAS, its threads, the memory. Imports no mlx, so that `doctor` can use it.

MLX's CPU wheel on Linux links the unoptimised reference BLAS, but the dynamic linker resolves its `cblas_*` calls. A
BLAS that is loaded into the global namespace first therefore replaces it (13 times the prefill speed). `prepare` loads
one; it must run before the first import of `mlx.core`.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import logging
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import attrs

from providers.engines.group.ranks import ALONE, Ranks
from providers.folders import cache_folder

__all__ = [
    "Blas",
    "Platform",
    "available_memory",
    "blas_threads",
    "cpu_count",
    "describe",
    "find_blas",
    "prepare",
    "total_memory",
]

logger = logging.getLogger(__name__)

_CGROUP = "/sys/fs/cgroup"
BLAS_VARIABLE = "MLX_OPENAI_SERVER_BLAS"
"""Environment variable: path of a BLAS to preload, or `none` to run on MLX's own."""
_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
_DEBIAN_OPENBLAS = (
    "/usr/lib/{machine}-linux-gnu/openblas-pthread/libopenblas.so.0",
    "/usr/lib/{machine}-linux-gnu/libopenblas.so.0",
    "/usr/lib64/libopenblas.so.0",
)


@attrs.frozen(kw_only=True)
class Blas:
    """A library that can compute MLX's matrix products on the CPU."""

    name: str
    path: Path


@attrs.frozen(kw_only=True)
class Platform:
    """How this process runs MLX. `blas` and `threads` matter only on the Linux CPU."""

    device: str
    """`cpu`, `metal` or `cuda`, derived from the installed packages."""
    blas: str
    threads: int
    warning: str | None = None
    ranks: Ranks = ALONE
    """The processes that share the model."""


_CUDA = {
    # cuDNN plans attention for every length of prompt and size of batch, which takes 0.04 s on an H200, and up to 0.9
    # on an H100. No two requests have the same length, and `decode.cuda_prefill` plans nothing.
    "MLX_CUDA_USE_CUDNN_SDPA": "0",
    # Shapes that occur once fill MLX's caches. MLX's check for that raises in the middle of a batch.
    "MLX_ENABLE_CACHE_THRASHING_CHECK": "0",
    # NCCL registers the buffers of each collective that a CUDA graph captures, for graphs that are launched often. MLX
    # captures a new graph for every step: what is registered grew, and every step of several ranks took longer than the
    # one before. Support for collectives outside of graphs beside those inside costs time, and MLX captures all.
    "NCCL_GRAPH_REGISTER": "0",
    "NCCL_GRAPH_MIXING_SUPPORT": "0",
}
"""Set for MLX, and for NCCL beneath it, unless the environment says otherwise."""
_GPUS = Path("/proc/driver/nvidia/gpus")
"""Where NVIDIA's driver describes each GPU."""


def _kernel_folder() -> Path:
    """Where MLX keeps the kernels that it compiles on CUDA.

    By default it keeps them among temporary files, which a server deletes as it ends: on an H200, every start compiled
    for 110 s. Kernels are of one kind of GPU, and several machines may share a home folder.
    """
    models = {line for file in _GPUS.glob("*/information") for line in _lines(file) if line.startswith("Model:")}
    kinds = "-".join(re.sub(r"\W+", "-", model.removeprefix("Model:").strip()) for model in sorted(models))
    return cache_folder() / "kernels" / f"mlx-{importlib.metadata.version('mlx')}" / (kinds or "gpu")


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []


def expected_device() -> str:
    """The device that MLX will choose on this machine: `metal`, `cuda` or `cpu`."""
    if sys.platform == "darwin":
        return "metal"
    has_cuda = any(_is_installed(name) for name in ("mlx-cuda-13", "mlx-cuda-12", "mlx-cuda"))
    return "cuda" if has_cuda and shutil.which("nvidia-smi") else "cpu"


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def find_blas() -> Blas | None:
    """The optimised BLAS that `prepare` would preload, or None. Loads and imports nothing."""
    chosen = os.environ.get(BLAS_VARIABLE)
    if chosen:
        return None if chosen.lower() == "none" else Blas(name=Path(chosen).name, path=Path(chosen))
    folder = _package_folder("ngsolve_openblas")
    if folder is not None:
        for path in sorted(folder.glob("libopenblas*.so*")):
            return Blas(name=f"openblas ({path.name}, ngsolve-openblas)", path=path)
    for pattern in _DEBIAN_OPENBLAS:
        path = Path(pattern.format(machine=os.uname().machine))
        if path.exists():
            return Blas(name=f"openblas ({path})", path=path)
    return None


def prepare() -> Platform:
    """Set this process up for MLX: the environment and, on the Linux CPU, the BLAS. Call it before importing mlx."""
    device = expected_device()
    if device == "cuda":
        for variable, value in {**_CUDA, "MLX_PTX_CACHE_DIR": str(_kernel_folder())}.items():
            os.environ.setdefault(variable, value)
    if device != "cpu" or not sys.platform.startswith("linux"):
        return Platform(device=device, blas="-", threads=cpu_count())
    # Compiled kernels need a C++ compiler and seconds of start time. On the CPU they gain nothing once warm.
    os.environ.setdefault("MLX_DISABLE_COMPILE", "1")
    threads = _choose_threads()
    blas = find_blas()
    if blas is None:
        chosen_none = os.environ.get(BLAS_VARIABLE, "").lower() == "none"
        advice = None if chosen_none else "no optimised BLAS found: install the `cpu` extra (ngsolve-openblas)"
        return Platform(device=device, blas="reference (bundled with mlx)", threads=1, warning=advice)
    try:
        _load_globally(blas.path)
    except OSError as error:
        warning = f"{blas.path.name} cannot be loaded ({error}): falling back to the BLAS bundled with mlx"
        return Platform(device=device, blas="reference (bundled with mlx)", threads=1, warning=warning)
    return Platform(device=device, blas=blas.name, threads=threads)


def describe() -> dict[str, Any]:
    """What `prepare` would choose, and the machine's figures. Loads nothing."""
    blas = find_blas()
    return {
        "device": expected_device(),
        "blas": blas.name if blas else None,
        "blas_path": str(blas.path) if blas else None,
        "threads": blas_threads(),
        "cpu_count": cpu_count(),
        "memory_total": total_memory(),
        "memory_available": available_memory(),
        "compiler": shutil.which("g++") or shutil.which("c++"),
    }


def blas_threads() -> int:
    """Threads of the BLAS: the environment's value, else all CPUs but one.

    OpenBLAS's threads wait for each other in a busy loop after every product, and a token needs hundreds of products.
    If they occupy all CPUs, anything else that runs (the server, another engine) stalls all of them. Measured on two
    busy CPUs, two threads decode 13 times slower than one.
    """
    return _threads_from_environment() or max(1, cpu_count() - 1)


def cpu_count() -> int:
    """CPUs that this process may use: its affinity mask, and its cgroup's quota rounded up."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, -(-int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return max(1, count)


def total_memory() -> int:
    """Bytes of memory that this process can have at most: the machine's, or its cgroup's limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _cgroup_bytes("memory.max")
    return min(total, limit) if limit is not None else total


def available_memory() -> int:
    """Bytes that can be allocated now without swapping, by the system's own figures."""
    available = total_memory()
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) * 1024
    except OSError:
        pass
    limit, used = _cgroup_bytes("memory.max"), _cgroup_bytes("memory.current")
    if limit is not None and used is not None:
        # The cgroup's use includes cached files (of the weights, above all), which the kernel drops for an allocation.
        available = min(available, limit - used + _cgroup_file_cache())
    return max(0, available)


def _cgroup_bytes(name: str) -> int | None:
    try:
        return int(Path(_CGROUP, name).read_text())
    except (OSError, ValueError):
        return None


def _cgroup_file_cache() -> int:
    try:
        lines = [line.split() for line in Path(_CGROUP, "memory.stat").read_text().splitlines()]
        return sum(int(value) for name, value in lines if name in ("inactive_file", "active_file"))
    except (OSError, ValueError):
        return 0


def _package_folder(name: str) -> Path | None:
    """The folder of an installed package, without importing it (ngsolve_openblas loads its library on import)."""
    spec = importlib.util.find_spec(name)
    locations = list(spec.submodule_search_locations or []) if spec else []
    return Path(locations[0]) if locations else None


def _threads_from_environment() -> int | None:
    for variable in _THREAD_VARIABLES:
        value = os.environ.get(variable, "")
        if value.isdigit() and int(value) > 0:
            return int(value)
    return None


def _choose_threads() -> int:
    """Threads of the BLAS, which reads them from the environment as it is loaded."""
    threads = blas_threads()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(threads))
    return threads


def _load_globally(path: Path) -> None:
    """Load a library into the global namespace, with a Fortran runtime if the system lacks one.

    Raises:
        OSError: neither the system nor the installed packages have what the library needs.
    """
    try:
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        if "libgfortran" not in str(error):
            raise
        _lend_fortran_runtime(path.parent)
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def _lend_fortran_runtime(folder: Path) -> None:
    """Load libgfortran under the name that OpenBLAS requests.

    Some builds ship it beside the library. Others expect the system's, which a plain machine does not have. MLX's own
    wheel bundles one under another name, so that its copy is renamed in memory: loaders match by SONAME.
    """
    for beside in sorted(folder.glob("libgfortran.so*")):
        try:
            ctypes.CDLL(str(beside), mode=ctypes.RTLD_GLOBAL)
            return
        except OSError as error:
            logger.debug("%s: %s", beside, error)
    site = _package_folder("mlx")
    bundled = site.parent / "mlx_cpu.libs" if site else None
    if bundled is None or not bundled.is_dir():
        return
    for quadmath in bundled.glob("libquadmath-*.so*"):
        ctypes.CDLL(str(quadmath), mode=ctypes.RTLD_GLOBAL)
    for library in bundled.glob("libgfortran-*.so*"):
        _load_renamed(library, b"libgfortran.so.5")


def _load_renamed(library: Path, soname: bytes) -> None:
    if sys.platform != "linux":  # for type checkers: macOS has no memfd_create
        return
    own = library.name.encode() + b"\0"
    content = library.read_bytes().replace(own, soname.ljust(len(own), b"\0"))
    descriptor = os.memfd_create(soname.decode())
    try:
        with open(descriptor, "wb", closefd=False) as memory:
            memory.write(content)
        ctypes.CDLL(f"/proc/self/fd/{descriptor}", mode=ctypes.RTLD_GLOBAL)
    finally:
        os.close(descriptor)
