"""Documents of a debate at `/arena`: added, argued with, shown, kept over a reload, lost and removed.

The echo answers with the last user message, which its prompt has behind the passages.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.arena import ArenaPage, arena_page, settings
from tests.browser.chromium import INSTALL_SECONDS
from tests.browser.test_accessibility import PACKAGES, SERIOUS
from tests.live.client import PATIENCE, eventually
from tests.live.harness import LiveServer, start
from tests.live.test_sdk_node import npm_packages

pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 300)

TEA = "Tea has been grown in the hills of Sri Lanka since 1867."
SHORT = {"seconds": 5}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[LiveServer]:
    config = tmp_path_factory.mktemp("documents") / "config.yaml"
    config.write_text("models:\n  - model_type: echo\n  - model_type: embeddings\n", encoding="utf-8")
    running = start("--config", str(config))
    yield running
    assert running.stop() == 0, running.log.text


@pytest.fixture
def arena(server: LiveServer) -> Generator[ArenaPage]:
    with arena_page(server.url) as page:
        page.load(settings("Is tea better than coffee?", **SHORT))
        yield page


def add(arena: ArenaPage, *files: Path) -> None:
    """Choose these files, and wait until the server has read them."""
    arena.choose("#documents input", *files)
    eventually(lambda: arena.evaluate("!document.querySelector('#documents input').disabled"))


def document(folder: Path, name: str = "tea.md", text: str = TEA) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def names(arena: ArenaPage) -> list[str]:
    shown: list[str] = arena.evaluate(
        "[...document.querySelectorAll('#documents li span')].map((one) => one.textContent)"
    )
    return shown


def said(arena: ArenaPage) -> str:
    """What the part of the form reports."""
    text: str = arena.evaluate("document.querySelector('#documents [role=status]').textContent")
    return text


def stores(server: LiveServer) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = httpx.get(f"{server.base_url}/vector_stores", timeout=PATIENCE).json()["data"]
    return data


def test_speakers_argue_with_passages_that_the_transcript_shows(
    arena: ArenaPage, server: LiveServer, tmp_path: Path
) -> None:
    axe = (npm_packages(PACKAGES, "page-judges") / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")
    add(arena, document(tmp_path))
    assert (names(arena), said(arena)) == (["tea.md"], "")
    arena.click("play")
    arena.wait_for("over")

    (store,) = stores(server)
    requested = arena.turns_requested()
    assert [body["context"] for body in requested] == [{"vector_store_ids": [store["id"]], "max_results": 3}] * 2
    assert "Is tea better than coffee?" in requested[0]["messages"][1]["content"], "the search has the motion"
    ahead = arena.evaluate("requests.map((r) => r.body).filter((body) => body.prefill_only && body.context)")
    assert [(body["messages"], body["modalities"]) for body in ahead] == [
        (requested[1]["messages"], requested[1]["modalities"])
    ]
    assert [[passage["text"] for passage in turn["passages"]] for turn in arena.entries] == [[TEA]] * 2
    details = "document.querySelectorAll('#entries details.passages')"
    assert (
        arena.evaluate(f"[...{details}].map((one) => one.querySelector('summary').textContent)")
        == ["1 passage of the documents"] * 2
    )
    assert arena.evaluate(f"{details}[0].querySelector('blockquote').textContent") == TEA
    assert f"**Ada** read in tea.md:\n\n> {TEA}\n" in arena.evaluate("arena.file('md')")
    arena.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    arena.evaluate(axe)
    assert arena.evaluate(SERIOUS) == []

    arena.evaluate("document.querySelector('#documents li button').click()")
    eventually(lambda: stores(server) == [])
    eventually(lambda: names(arena) == [])
    assert httpx.get(f"{server.base_url}/files", timeout=PATIENCE).json()["data"] == []


def test_documents_are_kept_over_a_reload_and_can_all_be_removed(
    arena: ArenaPage, server: LiveServer, tmp_path: Path
) -> None:
    add(arena, document(tmp_path), document(tmp_path, "coffee.txt", "Coffee is roasted."))
    arena.reload()
    eventually(lambda: names(arena) == ["tea.md", "coffee.txt"])
    assert stores(server)[0]["file_counts"]["completed"] == 2
    arena.evaluate("document.querySelector('#documents .clear').click()")
    eventually(lambda: stores(server) == [])
    arena.reload()
    assert names(arena) == []


def test_a_file_that_cannot_be_read_is_named_and_left_out(arena: ArenaPage, server: LiveServer, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7 but nothing else")
    add(arena, broken)

    assert said(arena).startswith("broken.pdf cannot be read: ")
    assert names(arena) == []
    assert stores(server) == []


def test_documents_that_the_server_has_lost_are_reported_and_the_debate_goes_on(
    arena: ArenaPage, server: LiveServer, tmp_path: Path
) -> None:
    add(arena, document(tmp_path))
    (store,) = stores(server)
    httpx.delete(f"{server.base_url}/vector_stores/{store['id']}", timeout=PATIENCE)
    arena.click("play")
    eventually(lambda: "The documents are gone." in arena.text("status"))
    arena.wait_for("over")

    assert "The debate goes on without them." in said(arena)
    assert names(arena) == []
    assert ["context" in body for body in arena.turns_requested()] == [True, False, False]
    assert all("passages" not in turn for turn in arena.entries)


def test_documents_that_are_gone_before_the_page_is_opened_are_reported(
    arena: ArenaPage, server: LiveServer, tmp_path: Path
) -> None:
    add(arena, document(tmp_path))
    (store,) = stores(server)
    httpx.delete(f"{server.base_url}/vector_stores/{store['id']}", timeout=PATIENCE)
    arena.reload()
    eventually(lambda: "no longer has the documents" in said(arena))
    assert names(arena) == []
