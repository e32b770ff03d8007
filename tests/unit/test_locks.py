"""The locks hold what pyproject.toml asks for, and nothing that ties them to a machine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = {"runtime": ["cpu", "embedded"], "dev": ["cpu", "embedded", "dev"]}


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


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash(lock: str) -> None:
    for entry in re.split(r"\n(?=\S)", text_of(lock).strip()):
        assert re.fullmatch(r"[^\n]+==[^\n]+ \\(\n {4}--hash=sha256:[0-9a-f]{64}( \\)?)+", entry), entry[:200]


@pytest.mark.parametrize("lock", LOCKS)
def test_no_host_and_no_path_is_in_a_lock(lock: str) -> None:
    assert "://" not in text_of(lock)
    assert not re.search(r"--index|--find-links|file:|^/", text_of(lock), re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_linux_gets_no_torch_and_no_cuda(lock: str, python: str) -> None:
    linux = {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "python_version": python,
        "python_full_version": f"{python}.0",
    }
    installed = {canonicalize_name(p.name) for p in pinned(lock) if p.marker is None or p.marker.evaluate(linux)}

    assert {"mlx", "mlx-cpu", "litestar"} <= installed
    assert not {name for name in installed if name == "torch" or name.startswith(("nvidia-", "mlx-cuda"))}


def test_the_development_lock_holds_the_runtime_lock() -> None:
    assert set(map(str, pinned("runtime"))) <= set(map(str, pinned("dev")))
