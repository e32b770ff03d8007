"""The findings of `doctor`. MLX runs in a separate process only: it may abort, and it costs memory."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
from typing import Literal

import attrs

from providers.capabilities import MODALITIES
from providers.extras import Extra
from providers.speech.languages import LANGUAGES, SpokenLanguage

__all__ = ["Finding", "Section", "State", "examine"]

State = Literal["ok", "note", "problem"]

_PROBE = """
import json, time
from providers.engines.process.platform import prepare
ready = prepare()
import mlx.core as mx
size = 768
a, b = mx.random.normal((size, size)), mx.random.normal((size, size))
mx.eval(a @ b)
begun = time.perf_counter()
for _ in range(3):
    mx.eval(a @ b)
rate = 3 * 2 * size**3 / (time.perf_counter() - begun) / 1e9
print(json.dumps({"device": str(mx.default_device()), "blas": ready.blas, "threads": ready.threads,
                  "warning": ready.warning, "gflops": rate}))
"""
_PROBE_SECONDS = 120

_LANGUAGE_EXTRAS = dict.fromkeys(language.extra for language in LANGUAGES.values() if language.extra is not None)
_EXTRAS = (
    Extra(
        name="cpu",
        modules=("ngsolve_openblas",),
        adds="MLX for Linux CPUs, with an optimised BLAS",
        platform="linux",
    ),
    Extra(
        name="cuda",
        modules=("mlx_cuda_13", "mlx_cuda_12", "mlx_cuda"),
        any_module=True,
        adds="MLX for NVIDIA GPUs",
        platform="linux",
    ),
    Extra(name="embedded", modules=("pip", "gguf", "onnx"), adds="fetching embedded models, and serving GGUF files"),
    *dict.fromkeys(row.extra for row in MODALITIES.values() if row.extra is not None),
    *_LANGUAGE_EXTRAS,
    Extra(
        name="retrieval",
        modules=("sqlite_vec", "pypdf"),
        adds="PDF files in vector stores, and faster search in them",
    ),
    Extra(name="talk", modules=("sounddevice", "websockets"), adds="`talk` by microphone and loudspeaker"),
    Extra(name="bench", modules=("matplotlib",), adds="plots of what `bench` measured"),
)


@attrs.frozen
class Finding:
    """One line. A `problem` prevents models from being served; a `note` can be improved."""

    name: str
    value: str
    state: State = "ok"


@attrs.frozen
class Section:
    title: str
    findings: list[Finding]


def examine() -> list[Section]:
    """Examine this machine; takes a few seconds."""
    from providers.engines.process.platform import describe

    machine = describe()
    return [
        Section("Python", _python()),
        Section("Machine", _machine(machine)),
        Section("MLX", _mlx(machine)),
        Section("Weights", _weights()),
        Section("Extras", [_extra(extra) for extra in _EXTRAS if extra.platform in ("", sys.platform)]),
        Section("Languages of speech", [_language(language) for language in LANGUAGES.values()]),
    ]


def _python() -> list[Finding]:
    new_enough = sys.version_info >= (3, 11)
    found = [
        Finding("python", f"{platform.python_version()} ({sys.executable})", "ok" if new_enough else "problem"),
        *(
            Finding(name, _version(name) or "not installed", "ok" if _version(name) else "problem")
            for name in ("mlx-openai-server-lab", "litestar", "granian", "mlx-lm")
        ),
    ]
    return found


def _machine(machine: dict[str, object]) -> list[Finding]:
    available, total = _number(machine["memory_available"]), _number(machine["memory_total"])
    compiler = machine["compiler"]
    return [
        Finding("system", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        Finding("processors", f"{machine['cpu_count']} usable"),
        Finding("memory", f"{available / 1e9:.1f} GB available of {total / 1e9:.1f} GB"),
        Finding("compiler", str(compiler) if compiler else "none (not needed: kernels are not compiled on a CPU)"),
    ]


def _mlx(machine: dict[str, object]) -> list[Finding]:
    version = _version("mlx")
    if version is None:
        return [Finding("mlx", "not installed: install the extra `cpu` or `cuda`", "problem")]
    found = [Finding("mlx", version)]
    try:
        process = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
        )
        lines = process.stdout.strip().splitlines()
        seen = json.loads(lines[-1]) if process.returncode == 0 and lines else None
    except (subprocess.TimeoutExpired, ValueError, OSError) as error:
        return [*found, Finding("device", f"MLX does not run here: {type(error).__name__}", "problem")]
    if seen is None:
        reason = (process.stderr.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
        return [*found, Finding("device", f"MLX does not run here: {reason}", "problem")]
    found.append(Finding("device", f"{machine['device']} ({seen['gflops']:,.0f} GFLOP/s in float32)"))
    if seen["blas"] != "-":
        found.append(Finding("BLAS", f"{seen['blas']}, {seen['threads']} threads", "note" if seen["warning"] else "ok"))
        if seen["warning"]:
            found.append(Finding("", seen["warning"], "note"))
    return [*found, _dtype(machine)]


def _dtype(machine: dict[str, object]) -> Finding:
    if machine["device"] != "cpu" or sys.platform != "linux":
        return Finding("dtype auto", "weights as shipped")
    largest = _number(machine["memory_available"]) / 4 / 1e9
    return Finding(
        "dtype auto", f"float32, for models of up to about {largest:.1f} billion parameters; else as shipped"
    )


def _weights() -> list[Finding]:
    from providers.folders import cache_folder
    from providers.weights import EMBEDDED, is_pulled

    folder = cache_folder()
    free = shutil.disk_usage(next(parent for parent in (folder, *folder.parents) if parent.exists())).free
    found = [Finding("cache folder", f"{folder} ({free / 1e9:.1f} GB free)")]
    for model_id, model in EMBEDDED.items():
        here = is_pulled(model_id)
        state = "here" if here else f"not fetched ({model.size / 1e6:.0f} MB; `models pull embedded`)"
        found.append(Finding(f"embedded:{model_id}", state, "ok" if here else "note"))
    return found


def _extra(extra: Extra) -> Finding:
    if not (missing := extra.missing):
        return Finding(extra.name, f"installed: {extra.adds}")
    partly = "" if extra.any_module or len(missing) == len(extra.modules) else f" (missing: {', '.join(missing)})"
    return Finding(extra.name, f"not installed{partly}; `{extra.command}` adds {extra.adds}", "note")


def _language(language: SpokenLanguage) -> Finding:
    missing = language.missing
    return Finding(f"{language.code} {language.name}", missing or "can be read", "note" if missing else "ok")


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
