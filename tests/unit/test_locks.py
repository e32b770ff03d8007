"""The locks hold what pyproject.toml asks for, and nothing that ties them to a machine."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from providers.capabilities import MODALITIES

ROOT = Path(__file__).parents[2]
EXTRAS = ["cpu", "embedded", "speech", "speech-zh", "transcription", "embeddings", "retrieval"]
LOCKS = {"runtime": EXTRAS, "dev": [*EXTRAS, "bench", "dev", "images", "speech-ja", "talk"]}

ALL = [*LOCKS, "images", "mutation"]
"""With what is installed beside the runtime lock (images) and the development lock (the tool of `make mutate`)."""

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


def text_of(lock: str) -> str:
    return (ROOT / "requirements" / f"{lock}.txt").read_text()


def pinned(lock: str) -> list[Requirement]:
    return [Requirement(line.removesuffix(" \\")) for line in text_of(lock).splitlines() if "==" in line]


def asked_for(extras: list[str]) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    return [Requirement(text) for text in project["dependencies"] + [text for e in extras for text in optional[e]]]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_dependency_is_pinned_at_a_version_that_it_allows(lock: str) -> None:
    versions: dict[str, set[str]] = {}
    for pin in pinned(lock):
        versions.setdefault(canonicalize_name(pin.name), set()).add(str(pin.specifier).removeprefix("=="))

    for requirement in asked_for(LOCKS[lock]):
        found = versions.get(canonicalize_name(requirement.name), set())
        assert found, f"{requirement} is not in requirements/{lock}.txt: run `make lock`"
        assert all(requirement.specifier.contains(version, prereleases=True) for version in found), (requirement, found)


@pytest.mark.parametrize("lock", ALL)
def test_every_pin_has_a_hash(lock: str) -> None:
    for entry in re.split(r"\n(?=\S)", text_of(lock).strip()):
        assert re.fullmatch(r"[^\n]+==[^\n]+ \\(\n {4}--hash=sha256:[0-9a-f]{64}( \\)?)+", entry), entry[:200]


@pytest.mark.parametrize("lock", ALL)
def test_no_host_and_no_path_is_in_a_lock(lock: str) -> None:
    assert "://" not in text_of(lock)
    assert not re.search(r"--index|--find-links|file:|^/", text_of(lock), re.MULTILINE)


def installed(lock: str, python: str, system: str) -> set[str]:
    """What pip installs of a lock: `name==version`, by canonical name."""
    machine = {
        "sys_platform": system,
        "platform_system": system.capitalize(),
        "platform_machine": "x86_64" if system == "linux" else "arm64",
        "python_version": python,
        "python_full_version": f"{python}.0",
    }
    pins = [pin for pin in pinned(lock) if pin.marker is None or pin.marker.evaluate(machine)]
    return {f"{canonicalize_name(pin.name)}{pin.specifier}" for pin in pins}


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("system", ["linux", "darwin"])
@pytest.mark.parametrize("python", PYTHONS)
def test_no_torch_and_no_cuda_is_installed(lock: str, python: str, system: str) -> None:
    names = {pin.partition("==")[0] for pin in installed(lock, python, system)}

    assert {"mlx", "mlx-cpu" if system == "linux" else "mlx-metal", "litestar"} <= names
    assert not {name for name in names if name == "torch" or name.startswith(("nvidia-", "mlx-cuda"))}


@pytest.mark.parametrize("system", ["linux", "darwin"])
@pytest.mark.parametrize("python", PYTHONS)
def test_the_development_lock_holds_the_runtime_lock(python: str, system: str) -> None:
    assert installed("runtime", python, system) <= installed("dev", python, system)


@pytest.mark.parametrize("system", ["linux", "darwin"])
@pytest.mark.parametrize("python", PYTHONS)
def test_the_tool_of_mutation_tests_changes_nothing_of_the_development_lock(python: str, system: str) -> None:
    development = dict(pin.split("==") for pin in installed("dev", python, system))
    tool = dict(pin.split("==") for pin in installed("mutation", python, system))

    assert "mutmut" in tool
    assert "mutmut" not in development
    assert {name: development.get(name, version) for name, version in tool.items()} == tool


@pytest.mark.parametrize("system", ["linux", "darwin"])
@pytest.mark.parametrize("python", PYTHONS)
def test_images_change_nothing_of_the_runtime_lock_and_the_command_has_what_it_lacks(python: str, system: str) -> None:
    runtime = dict(pin.split("==") for pin in installed("runtime", python, system))
    beside = dict(pin.split("==") for pin in installed("images", python, system))
    extra = MODALITIES["image-edit"].extra
    assert extra is not None
    command = {canonicalize_name(Requirement(text).name) for text in shlex.split(extra.packages)}

    assert {name: runtime.get(name, version) for name, version in beside.items()} == beside
    assert command - {"pillow"} == beside.keys() - runtime.keys()
    assert {canonicalize_name(text.name) for text in asked_for(["images"])} - runtime.keys() <= command
    assert not {"torch", "mlx", "hf-transfer"} & beside.keys()
