"""The files of the pages at `/arena` and `/talk`."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app

STATIC = files("server") / "static"
PAGES = ("arena", "talk")
MODULES = sorted(
    f"{page}/{file.name}" for page in PAGES for file in (STATIC / page).iterdir() if file.name.endswith(".js")
)


@pytest.mark.parametrize("name", PAGES)
async def test_the_page_loads_only_files_of_this_server(name: str) -> None:
    page = await ask(make_app(FakeChat()), "GET", f"/{name}")

    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    html = (STATIC / name / "index.html").read_text()
    assert not re.search(r"https?://(?!www\.w3\.org/)", html)
    assert not re.search(r"<script(?! type=\"module\" src=)|style=|\son\w+=", html), "the policy forbids inline code"


@pytest.mark.parametrize(("name", "allowed"), [("arena", "microphone=()"), ("talk", "microphone=(self)")])
async def test_only_the_page_of_a_conversation_may_use_the_microphone(name: str, allowed: str) -> None:
    page = await ask(make_app(FakeChat()), "GET", f"/{name}")

    assert allowed in page.headers["permissions-policy"]
    assert "connect-src 'self'" in page.headers["content-security-policy"], "which includes the page's WebSocket"


@pytest.mark.parametrize("name", MODULES)
async def test_each_module_is_served_and_imports_modules_that_are(name: str) -> None:
    served = await ask(make_app(FakeChat()), "GET", f"/{name}")

    assert served.status == 200
    assert served.headers["content-type"] == "text/javascript; charset=utf-8"
    source = (STATIC / name).read_text()
    folder = name.partition("/")[0]
    imported = re.findall(r'from "\.(?:\.|(?=/\w+\.js"))/([\w./]+)"', source)
    assert {one if "/" in one else f"{folder}/{one}" for one in imported} <= {*MODULES}
    assert len(imported) == source.count(' from "')
    assert source.startswith("/** "), "a module states its purpose"
    assert source.count("\n") < 400


@pytest.mark.parametrize("name", ["index.html", "nothing.js", "..%2Ftraces.html", "%2e%2e/index.html", "main.js/x"])
@pytest.mark.parametrize("page", PAGES)
async def test_no_other_file_is_served(page: str, name: str) -> None:
    refused = await ask(make_app(FakeChat()), "GET", f"/{page}/{name}")

    assert (refused.status, refused.error["code"]) == (404, "not_found")


async def test_the_landing_page_leads_to_the_arena() -> None:
    page = await ask(make_app(FakeChat()), "GET", "/", headers={"accept": "text/html"})

    assert b'href="arena"' in page.body
    assert b'href="talk"' in page.body
    assert b'href="traces"' in page.body
    assert b"curl" in page.body
