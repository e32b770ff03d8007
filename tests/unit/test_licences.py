"""NOTICE names every dependency under a GNU licence, and every one whose wheel contains a library under one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
NOT_SERVED = {"all", "bench", "dev"}
"""Extras that no server needs, and the one that only names others."""
GNU = re.compile(r"\b[AL]?GPL|GNU (?:Affero |Lesser |Library )?(?:or Lesser )?General Public", re.IGNORECASE)
LIBRARIES = re.compile(
    r"/lib(?:x264|x265|mp3lame|gnutls|nettle|hogweed|gmp|unistring|asound|fribidi|mecab|gfortran|quadmath|gomp|espeak"
    r"|sndfile|mpg123)[^/]*\.(?:so|dylib)"
)
"""Names in wheels of libraries under a GNU licence."""


def served() -> list[str]:
    """The names of all dependencies of the server and its extras, dependencies of theirs included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    texts = [*project["dependencies"], *(text for name in optional.keys() - NOT_SERVED for text in optional[name])]
    pending, seen = [Requirement(text) for text in texts], set[tuple[str, str]]()
    while pending:
        requirement = pending.pop()
        for extra in ("", *requirement.extras):
            key = (canonicalize_name(requirement.name), extra)
            if key not in seen:
                seen.add(key)
                pending += needed(*key)
    return sorted({name for name, _ in seen})


def needed(name: str, extra: str) -> Iterator[Requirement]:
    try:
        texts = metadata.distribution(name).requires or []
    except metadata.PackageNotFoundError:
        return
    for requirement in map(Requirement, texts):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def reasons(name: str) -> list[str]:
    """What of a dependency is under a GNU licence."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return []
    fields = ("License-Expression", "License", "Classifier")
    stated = [text for field in fields for text in found.metadata.get_all(field) or [] if len(text) < 200]
    shipped = [str(path) for path in found.files or [] if LIBRARIES.search(f"/{path}")]
    return [text for text in stated if GNU.search(text)] + shipped


def test_notice_names_every_dependency_under_a_gnu_licence() -> None:
    names = served()
    assert {"litestar", "mlx-lm", "av"} <= set(names)
    heads = [line for line in (ROOT / "NOTICE").read_text().splitlines() if line and not line.startswith(" ")]
    named = {canonicalize_name(word) for line in heads for word in re.findall(r"[\w.-]+", line)}
    unnamed = {name: found for name in names if (found := reasons(name)) and name not in named}
    assert not unnamed


@pytest.mark.parametrize("text", ["GPL-3.0-only", "LGPL", "GNU Library or Lesser General Public License (LGPL)"])
def test_a_gnu_licence_is_recognised(text: str) -> None:
    assert GNU.search(text)
