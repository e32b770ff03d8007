"""What the store keeps, for how long, and what it deletes first."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import pytest
from structlog.testing import capture_logs

from contracts.responses.items import InputMessage, InputTextContent, OutputMessage, OutputTextContent, StoredItem
from contracts.responses.request import Reasoning
from contracts.responses.response import Response
from contracts.responses.tools import ResponseTextParam
from providers.errors import ModelNotReady
from server.api.responses.stored import store as responses
from server.api.responses.stored.database import ResponseDatabase
from server.api.responses.stored.store import ResponseStore
from tests.unit.server.full_disk import full_disk
from tests.unit.server.harness import WAIT

TTL = 100.0


@attrs.define
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def said(text: str) -> InputMessage:
    return InputMessage(
        id=f"in_{text}", role="user", status="completed", content=[InputTextContent(type="input_text", text=text)]
    )


def response(id: str, previous: str | None = None, text: str = "answer") -> Response:
    content = [OutputTextContent(type="output_text", text=text)]
    return Response(
        id=id,
        created_at=1,
        status="completed",
        model="m",
        output=[OutputMessage(type="message", id=f"msg_{id}", status="completed", content=content)],
        previous_response_id=previous,
        store=True,
        metadata={},
        parallel_tool_calls=True,
        reasoning=Reasoning(),
        text=ResponseTextParam(),
        tool_choice="auto",
        tools=[],
        request_id="r",
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(clock: Clock) -> AsyncIterator[ResponseStore]:
    store = ResponseStore(time_to_live=TTL, clock=clock)
    yield store
    await store.close()


def texts(items: list[StoredItem] | None) -> list[str]:
    assert items is not None
    return [item.content[0].text for item in items]  # type: ignore[union-attr]


async def test_a_stored_response_is_found_immediately_and_unchanged(store: ResponseStore) -> None:
    store.put(response("a"), [said("hi")])

    assert await store.get("a") == response("a")
    assert await store.get("b") is None
    assert await store.items(["in_hi", "msg_a", "no"]) == {
        "in_hi": said("hi"),
        "msg_a": InputMessage(
            id="msg_a",
            role="assistant",
            status="completed",
            content=[OutputTextContent(type="output_text", text="answer")],
        ),
    }


async def test_a_conversation_is_in_order_with_or_without_its_last_answer(store: ResponseStore) -> None:
    store.put(response("a", text="A"), [said("1")])
    store.put(response("b", "a", text="B"), [said("2"), said("3")])

    assert texts(await store.conversation("b")) == ["1", "A", "2", "3", "B"]
    assert texts(await store.conversation("b", answered=False)) == ["1", "A", "2", "3"]
    assert texts(await store.conversation("a")) == ["1", "A"]
    assert await store.conversation("c") is None


async def test_a_conversation_whose_beginning_was_deleted_is_none(store: ResponseStore) -> None:
    store.put(response("a"), [said("1")])
    store.put(response("b", "a"), [said("2")])

    assert await store.delete("a")
    assert not await store.delete("a")

    assert await store.conversation("b") is None
    assert await store.get("b") == response("b", "a")
    assert (await store.usage())[0] == 1
    assert await store.items(["in_1"]) == {}


async def test_an_unused_response_expires(store: ResponseStore, clock: Clock) -> None:
    store.put(response("a"), [said("1")])
    await store.get("a")

    clock.now += TTL

    assert await store.get("a") is None
    assert await store.conversation("a") is None
    assert await store.items(["in_1"]) == {}
    assert not await store.delete("a")
    store.put(response("b"), [])
    assert (await store.usage())[0] == 1, "what expired takes room"


async def test_continuing_a_conversation_keeps_all_of_it(store: ResponseStore, clock: Clock) -> None:
    store.put(response("a"), [said("1")])
    store.put(response("b", "a"), [said("2")])
    for _ in range(3):
        clock.now += TTL * 0.9
        assert await store.conversation("b") is not None
    assert await store.get("a") is not None


async def test_a_full_store_deletes_the_longest_unused_first(clock: Clock) -> None:
    probe = ResponseStore(clock=clock)
    probe.put(response("x"), [said("hi")])
    _, size = await probe.usage()
    await probe.close()
    store = ResponseStore(clock=clock, max_bytes=3 * size)

    for id in "abc":
        store.put(response(id), [said("hi")])
        clock.now += 1
    await store.get("a")
    clock.now += 1
    store.put(response("d"), [said("hi")])

    assert [id for id in "abcd" if await store.get(id)] == ["a", "c", "d"]
    assert await store.usage() == (3, 3 * size)
    await store.close()


async def test_a_response_larger_than_the_store_is_not_kept_and_deletes_no_other(clock: Clock) -> None:
    store = ResponseStore(clock=clock, max_bytes=5_000)
    store.put(response("a"), [said("hi")])
    with capture_logs() as logs:
        store.put(response("b"), [said("x" * 10_000)])
        assert await store.get("b") is None
    assert await store.get("a") is not None
    assert [line["response_id"] for line in logs] == ["b"]
    await store.close()


async def test_a_thousand_responses_stay_within_the_bound(clock: Clock) -> None:
    store = ResponseStore(clock=clock, max_bytes=50_000)
    for number in range(1000):
        clock.now += 0.001
        store.put(response(str(number)), [said("x" * (number % 700))])
    count, size = await store.usage()
    assert 0 < size <= 50_000
    assert await store.get("999") is not None
    assert await store.get("0") is None
    assert 10 < count < 1000
    await store.close()


async def test_a_file_is_read_again_by_another_store(tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    first = ResponseStore(path)
    first.put(response("a"), [said("1")])
    await first.close()

    second = ResponseStore(path)
    assert await second.get("a") == response("a")
    await second.close()


async def test_a_file_that_is_no_store_is_reported_on_opening(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"not a database" * 100)
    store = ResponseStore(str(path))
    with pytest.raises(OSError, match=r"store\.db cannot be opened: file is not a database"):
        await store.open()
    await store.close()


async def test_a_store_of_another_version_is_not_changed(tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    store = ResponseStore(path)
    with pytest.raises(OSError, match="another version"):
        await store.open()
    await store.close()


async def test_a_closed_store_refuses_reads_and_drops_writes(store: ResponseStore) -> None:
    await store.close()
    store.put(response("a"), [])
    with pytest.raises(ModelNotReady):
        await store.get("a")
    await store.close()


async def test_a_write_before_closing_is_kept(tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    store = ResponseStore(path)
    for number in range(50):
        store.put(response(str(number)), [said("hi")])
    await store.close()

    again = ResponseStore(path)
    assert (await again.usage())[0] == 50
    await again.close()


async def test_a_slow_disk_does_not_block_the_event_loop(store: ResponseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    put = ResponseDatabase.put

    def slow(self: ResponseDatabase, *arguments: Any) -> bool:
        assert release.wait(10)
        return put(self, *arguments)

    monkeypatch.setattr(ResponseDatabase, "put", slow)
    store.put(response("a"), [])
    asked = asyncio.create_task(store.get("a"))
    for _ in range(100):  # the event loop runs while the disk is blocked
        await asyncio.sleep(0)
    assert not asked.done()

    release.set()
    assert await asyncio.wait_for(asked, WAIT) == response("a")


async def test_writes_that_wait_for_a_slow_disk_are_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "MAX_WAITING", 2)
    store = ResponseStore(clock=clock)
    release = threading.Event()
    put = ResponseDatabase.put

    def slow(self: ResponseDatabase, *arguments: Any) -> bool:
        assert release.wait(10)
        return put(self, *arguments)

    monkeypatch.setattr(ResponseDatabase, "put", slow)
    with capture_logs() as logs:
        for id in "abc":
            store.put(response(id), [])
    assert [line["response_id"] for line in logs] == ["c"]

    release.set()
    assert await store.get("b") is not None
    store.put(response("d"), [])
    assert await store.get("d") is not None
    await store.close()


async def test_a_full_disk_keeps_no_reader_from_what_is_stored(tmp_path: Path) -> None:
    store = ResponseStore(str(tmp_path / "store.db"))
    store.put(response("a"), [said("1")])
    store.put(response("b", "a"), [said("2")])
    assert await store.get("a") == response("a")
    with full_disk(), capture_logs() as logs:
        store.put(response("c"), [])
        assert await store.get("a") == response("a")
        assert await store.items(["msg_a"])
        assert len(await store.conversation("b") or ()) == 4
        assert await store.get("c") is None
        with pytest.raises(sqlite3.OperationalError):
            await store.delete("a")
    assert [line["event"] for line in logs] == ["response not stored"]

    store.put(response("d"), [])
    assert await store.get("d") is not None
    assert await store.delete("a")
    await store.close()


async def test_a_failure_to_write_is_logged_and_the_next_write_succeeds(
    store: ResponseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> bool:
        raise sqlite3.OperationalError("disk full")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(ResponseDatabase, "put", broken)
        store.put(response("a"), [])
        assert await store.get("a") is None
    assert [line["event"] for line in logs] == ["response not stored"]

    store.put(response("b"), [])
    assert await store.get("b") is not None


def test_a_store_opens_while_another_server_creates_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"
    opened: list[ResponseDatabase] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE first (x)")
        other.execute("BEGIN IMMEDIATE")
        here = threading.Thread(
            target=lambda: opened.append(ResponseDatabase(str(path), time_to_live=TTL, max_bytes=1000))
        )
        here.start()
        here.join(0.2)
        assert here.is_alive()
        other.execute("COMMIT")
        here.join(WAIT)

    (database,) = opened
    database.close()


async def test_what_another_server_has_answered_and_not_yet_written_is_found(tmp_path: Path) -> None:
    path = str(tmp_path / "responses.db")
    here, there = ResponseStore(path), ResponseStore(path)
    await asyncio.gather(here.open(), there.open())

    asking = [
        asyncio.create_task(here.get("a")),
        asyncio.create_task(here.conversation("a")),
        asyncio.create_task(here.items(["msg_a"])),
    ]
    await asyncio.sleep(0.05)
    assert not any(each.done() for each in asking)
    there.put(response("a"), [said("hi")])

    found, conversation, items = await asyncio.wait_for(asyncio.gather(*asking), WAIT)
    assert found == response("a")
    assert conversation is not None
    assert set(items) == {"msg_a"}
    assert await here.get("b") is None
    await asyncio.gather(here.close(), there.close())
