"""Links and paths in the documentation lead to existing files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")])
HISTORY = {"CHANGELOG.md"}
"""Pages that also name files of the past."""

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
_PATH = re.compile(r"`((?:contracts|docs|otel|providers|requirements|server|tests)/[\w./-]*)`")
_IN_ENGINES = re.compile(r"`((?:language|output|prefix|process|sampling|structured)/[\w./-]+)`")
"""Short paths, below `providers/engines/`."""
_MODULE = re.compile(r"python -m ((?:contracts|otel|providers|server|tests)[\w.]*)")


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The fragments of the page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, fragment in _LINK.findall(_CODE.sub("", prose(page))):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{target} does not exist"
        if fragment and file.suffix == ".md":
            assert fragment in anchors(file), f"{target or page.name} has no section {fragment}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in HISTORY], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_path_and_module_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for path in _PATH.findall(text):
        assert (ROOT / path).exists(), f"{path} does not exist"
    for path in _IN_ENGINES.findall(text):
        assert (ROOT / "providers" / "engines" / path).exists(), f"{path} does not exist in providers/engines"
    for module in _MODULE.findall(text):
        place = ROOT / module.rstrip(".").replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), f"there is no module {module}"


def test_the_index_lists_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = {target for target, _ in _LINK.findall(index)}

    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")} - {"index.md"}
    assert pages <= listed
