"""The files of the page at `/arena`."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app

FOLDER = files("server") / "static" / "arena"
MODULES = sorted(file.name for file in FOLDER.iterdir() if file.name.endswith(".js"))


async def test_the_page_loads_only_files_of_this_server() -> None:
    page = await ask(make_app(FakeChat()), "GET", "/arena")

    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    html = (FOLDER / "index.html").read_text()
    assert not re.search(r"https?://(?!www\.w3\.org/)", html)
    assert not re.search(r"<script(?! type=\"module\" src=)|style=|\son\w+=", html), "the policy forbids inline code"


@pytest.mark.parametrize("name", MODULES)
async def test_each_module_is_served_and_imports_modules_that_are(name: str) -> None:
    served = await ask(make_app(FakeChat()), "GET", f"/arena/{name}")

    assert served.status == 200
    assert served.headers["content-type"] == "text/javascript; charset=utf-8"
    source = (FOLDER / name).read_text()
    assert set(re.findall(r'from "\./([\w.]+)"', source)) <= {*MODULES}
    assert source.startswith("/** "), "a module states its purpose"
    assert source.count("\n") < 400


@pytest.mark.parametrize("name", ["index.html", "nothing.js", "..%2Ftraces.html", "%2e%2e/index.html", "main.js/x"])
async def test_no_other_file_is_served(name: str) -> None:
    refused = await ask(make_app(FakeChat()), "GET", f"/arena/{name}")

    assert (refused.status, refused.error["code"]) == (404, "not_found")


async def test_the_landing_page_leads_to_the_arena() -> None:
    page = await ask(make_app(FakeChat()), "GET", "/", headers={"accept": "text/html"})

    assert b'href="arena"' in page.body
    assert b'href="traces"' in page.body
    assert b"curl" in page.body
