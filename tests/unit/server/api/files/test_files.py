"""`/v1/files`: uploads, pages, contents and deletion."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from litestar import Litestar

from server.retrieval.library import Library
from tests.unit.server.fakes import FakeChat
from tests.unit.server.full_disk import full_disk
from tests.unit.server.harness import ask, make_app
from tests.unit.server.retrieval.embedder import served, upload


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Litestar]:
    async with served(make_app(FakeChat(), data_dir=str(tmp_path), data_size=2_000_000)) as app:
        yield app


async def test_a_file_is_kept_as_it_is(app: Litestar, tmp_path: Path) -> None:
    content = bytes(range(256)) * 6000  # over a megabyte: the form's reader has it on disk
    file = (await upload(app, content, "Übersicht.bin", purpose="user_data")).json
    assert file["id"].startswith("file-")
    assert (file["bytes"], file["filename"], file["purpose"]) == (len(content), "Übersicht.bin", "user_data")
    assert (file["object"], file["status"]) == ("file", "processed")
    assert (await ask(app, "GET", f"/v1/files/{file['id']}")).json == file
    answer = await ask(app, "GET", f"/v1/files/{file['id']}/content")
    assert answer.body == content
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-length"] == str(len(content))
    assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''%C3%9Cbersicht.bin"
    (kept,) = (tmp_path / "files").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert (await ask(app, "DELETE", f"/v1/files/{file['id']}")).json["deleted"] is True
    assert [*(tmp_path / "files").iterdir()] == []
    assert (await ask(app, "GET", f"/v1/files/{file['id']}/content")).status == 404


async def test_files_come_in_pages_by_purpose(app: Litestar) -> None:
    ids = [(await upload(app, "a", purpose=purpose)).json["id"] for purpose in ("batch", "vision", "batch")]
    answer = (await ask(app, "GET", "/v1/files?limit=2&order=asc")).json
    assert ([file["id"] for file in answer["data"]], answer["has_more"]) == (ids[:2], True)
    answer = (await ask(app, "GET", f"/v1/files?purpose=batch&after={ids[2]}")).json
    assert ([file["id"] for file in answer["data"]], answer["has_more"]) == ([ids[0]], False)


@pytest.mark.parametrize("size", [10, 1_500_000], ids=["small", "on disk while it is read"])
async def test_a_full_disk_refuses_a_file_and_what_is_there_is_read(app: Litestar, tmp_path: Path, size: int) -> None:
    kept = (await upload(app, "kept")).json["id"]
    with full_disk():
        refused = await upload(app, "a" * size)
        read = await ask(app, "GET", f"/v1/files/{kept}/content")
        undeleted = await ask(app, "DELETE", f"/v1/files/{kept}")

    assert (refused.status, refused.error["code"]) == (507, "storage_failed")
    assert read.body == b"kept"
    assert (undeleted.status, undeleted.error["code"]) == (507, "storage_failed")
    assert [path.name for path in (tmp_path / "files").iterdir()] == [kept]
    assert (await upload(app, "a" * size)).status == 200
    assert (await ask(app, "DELETE", f"/v1/files/{kept}")).status == 200


async def test_a_name_is_no_path(app: Litestar) -> None:
    assert (await upload(app, "a", "../../etc/passwd")).json["filename"] == "passwd"


async def test_a_file_expires(app: Litestar) -> None:
    expiry = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    file = (await upload(app, "a", **expiry)).json
    assert file["expires_at"] == file["created_at"] + 3600


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": "anything"}, "purpose"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "3"}, "expires_after.seconds"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "x"}, "expires_after.seconds"),
        ({"expires_after": "soon"}, "expires_after"),
    ],
)
async def test_a_wrong_field_is_named(app: Litestar, fields: dict[str, str], param: str) -> None:
    answer = await upload(app, "a", **fields)
    assert (answer.status, answer.error["param"]) == (400, param)


async def test_the_size_of_all_files_is_bounded(app: Litestar, tmp_path: Path) -> None:
    assert (await upload(app, b"a" * 1_500_000)).status == 200
    answer = await upload(app, b"a" * 600_000)
    assert (answer.status, "--data-size allows 2,000,000" in answer.error["message"]) == (400, True)
    assert len([*(tmp_path / "files").iterdir()]) == 1


async def test_a_form_without_a_file_is_refused(app: Litestar) -> None:
    answer = await ask(app, path="/v1/files", json={"purpose": "batch"})
    assert answer.status == 415


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_unknown_file_is_not_found(app: Litestar, method: str) -> None:
    answer = await ask(app, method, "/v1/files/file-none")
    assert (answer.status, answer.error["param"]) == (404, "file_id")


async def test_a_folder_serves_one_server_at_a_time(app: Litestar, tmp_path: Path) -> None:
    assert (await ask(app, "GET", "/v1/files")).status == 200
    other = Library(str(tmp_path))
    with pytest.raises(OSError, match="another server uses it"):
        await other.open()
    await other.close()


async def test_the_folder_is_only_for_its_owner_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with served(make_app(FakeChat(), data_dir=str(tmp_path / "made" / "data"))) as app:
            await upload(app, "private")
            made = [tmp_path / "made", *(tmp_path / "made").rglob("*")]
            shared = [path for path in made if path.stat().st_mode & 0o077 and path.name != "lock"]
    finally:
        os.umask(before)
    assert len(made) >= 5
    assert shared == []
