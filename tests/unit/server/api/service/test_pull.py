"""`POST /v1/models/pull`: one answer, or the progress as events."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar

from tests.unit.server.harness import ask, make_app, serving, start

PROGRAM = """
import json, pathlib, sys, time
folder, name = sys.argv[1:]
if name == "org/slow":
    print(json.dumps({"status": "Waiting"}), flush=True)
    while not pathlib.Path(folder, "go").exists():
        time.sleep(0.02)
if name == "org/none":
    print(json.dumps({"error": {"kind": "UnknownWeights", "message": "org/none does not exist"}}))
elif name == "org/full":
    print(json.dumps({"status": "Fetching", "total": 7, "completed": 1}), flush=True)
    time.sleep(0.2)
    print(json.dumps({"error": {"kind": "DiskFull", "message": "no space left"}}))
else:
    for done in (3, 7):
        print(json.dumps({"status": "Fetching", "digest": "sha256:0", "total": 7, "completed": done}))
    print(json.dumps({"size": 9}))
"""
PATH = "/v1/models/pull"


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Litestar]:
    (tmp_path / "pull.py").write_text(PROGRAM)
    made = make_app()
    made.state.service.pulls._command = (sys.executable, str(tmp_path / "pull.py"), str(tmp_path))
    yield made
    await made.state.service.pulls.stop()


async def test_the_answer_comes_when_the_weights_are_complete(app: Litestar) -> None:
    answer = await ask(app, path=PATH, json={"model": "org/good"})
    assert (answer.status, answer.json) == (200, {"status": "success", "model": "org/good", "size": 9})


async def test_a_stream_has_the_progress(app: Litestar) -> None:
    answer = await ask(app, path=PATH, json={"model": "org/good@main", "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *progress, end = answer.chunks
    assert progress[-1] == {"status": "Fetching", "digest": "sha256:0", "total": 7, "completed": 7}
    assert end == {"status": "success", "model": "org/good@main", "size": 9}


@pytest.mark.parametrize("stream", [True, False])
async def test_a_model_that_does_not_exist_is_a_404(app: Litestar, stream: bool) -> None:
    answer = await ask(app, path=PATH, json={"model": "org/none", "stream": stream})
    assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "model_not_found", "model")


async def test_a_full_disk_ends_a_stream_with_an_error(app: Litestar) -> None:
    assert (await ask(app, path=PATH, json={"model": "org/full"})).status == 507
    streamed = await ask(app, path=PATH, json={"model": "org/full", "stream": True})
    assert streamed.status == 200
    assert streamed.chunks[-1]["error"]["code"] == "storage_failed"


@pytest.mark.parametrize("body", [{}, {"model": ""}, {"model": 7}, {"model": "x" * 513}, {"model": "a/b", "stream": 7}])
async def test_a_bad_body_is_a_400(app: Litestar, body: dict[str, Any]) -> None:
    assert (await ask(app, path=PATH, json=body)).status == 400


async def test_a_pull_needs_the_key() -> None:
    assert (await ask(make_app(api_key="k"), path=PATH, json={"model": "org/good"})).status == 401


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_goes_away_ends_the_pull(app: Litestar, stream: bool) -> None:
    pulls = app.state.service.pulls
    exchange = start(app, path=PATH, json={"model": "org/slow", "stream": stream})
    if stream:
        await exchange.until(b"Waiting")
    async with asyncio.timeout(30):
        while not pulls._running:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    exchange.disconnect()
    if stream:
        await exchange.finished()
    else:
        await asyncio.wait([exchange.task])
    assert not pulls._running


async def test_a_server_that_stops_ends_its_pulls(app: Litestar) -> None:
    pulls = app.state.service.pulls
    async with serving(app):
        exchange = start(app, path=PATH, json={"model": "org/slow", "stream": True})
        await exchange.until(b"Waiting")
        (task,) = pulls._tasks
    assert task.done()
    assert (await exchange.finished()).chunks[-1]["error"]["code"] == "model_not_ready"
