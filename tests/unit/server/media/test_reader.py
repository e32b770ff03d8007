"""`data:` URLs, base64, and files below one folder."""

from __future__ import annotations

import base64
import os
import random
from pathlib import Path

import pytest

from server.media.local import of_base64
from server.media.media import MediaRefused
from server.media.reader import MediaReader
from tests.unit.server.media.web import fixed, serving


def reader(root: Path | None = None) -> MediaReader:
    return MediaReader(root=root, allow_private=True, max_bytes=1000, seconds=20.0)


@pytest.mark.parametrize(
    ("url", "content", "media_type"),
    [
        ("data:text/plain;base64,YWJj", b"abc", "text/plain"),
        ("DATA:Text/Plain;charset=utf-8;BASE64,YWJj", b"abc", "text/plain"),
        ("data:;base64,YW Jj\n", b"abc", None),
        ("data:text/plain;base64,YWI", b"ab", "text/plain"),
        ("data:text/plain;base64,YWI%3D", b"ab", "text/plain"),
        ("data:application/octet-stream;base64,-_-_", b"\xfb\xff\xbf", "application/octet-stream"),
        ("data:,a%20b", b"a b", None),
        ("data:text/markdown,# a", b"# a", "text/markdown"),
        ("data:,", b"", None),
    ],
)
async def test_data_urls(url: str, content: bytes, media_type: str | None) -> None:
    found = await reader().read(url)
    assert (found.content, found.media_type) == (content, media_type)


@pytest.mark.parametrize(
    "url", ["data:", "data:text/plain;base64", "data:;base64,!", "data:;base64,a", "data:;base64,é"]
)
async def test_broken_data_urls_are_refused(url: str) -> None:
    with pytest.raises(MediaRefused):
        await reader().read(url)


@pytest.mark.parametrize("make", [lambda n: "data:," + "x" * n, lambda n: "data:;base64," + "A" * (n * 4 // 3 + 2)])
async def test_large_data_urls_are_refused(make: object) -> None:
    assert callable(make)
    assert (await reader().read(make(900))).content
    with pytest.raises(MediaRefused, match="more than 1,000 bytes"):
        await reader().read(make(1001))


def test_a_long_text_is_decoded_in_pieces_wherever_its_lines_break() -> None:
    content = random.Random(16).randbytes(2_500_001)
    assert of_base64(base64.encodebytes(content).decode(), max_bytes=10**7).content == content
    assert of_base64(base64.urlsafe_b64encode(content).decode(), max_bytes=10**7).content == content
    with pytest.raises(MediaRefused, match="not base64"):
        of_base64("A" * 2_000_000 + "=" + "A" * 2_000_000, max_bytes=10**7)


async def test_a_field_may_hold_base64_without_a_url() -> None:
    encoded = base64.b64encode(b"%PDF-").decode()
    assert (await reader().read_inline(encoded)).content == b"%PDF-"
    assert (await reader().read_inline(f"data:application/pdf;base64,{encoded}")).media_type == "application/pdf"
    with pytest.raises(MediaRefused, match="base64"):
        await reader().read_inline("/etc/passwd.")
    with pytest.raises(MediaRefused, match="base64"):
        await reader().read_inline("file:///etc/passwd")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "media"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a b.txt").write_bytes(b"inside")
    (root / "large").write_bytes(b"x" * 1001)
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "media-too").mkdir()
    (tmp_path / "media-too" / "secret").write_bytes(b"secret")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "folder out").symlink_to(tmp_path)
    (root / "in").symlink_to(root / "sub" / "a b.txt")
    (root / "loop").symlink_to(root / "loop")
    os.mkfifo(root / "pipe")
    return root


@pytest.mark.parametrize("path", ["sub/a%20b.txt", "in", "sub/../sub/a%20b.txt"])
@pytest.mark.parametrize("scheme", ["file://", "file://localhost", "file:", "FILE://"])
async def test_files_below_the_root_are_read(root: Path, path: str, scheme: str) -> None:
    found = await reader(root).read(f"{scheme}{root}/{path}")
    assert (found.content, found.name) == (b"inside", "a b.txt")


@pytest.mark.parametrize(
    "path",
    [
        *("../secret", "%2e%2e/secret", "../media-too/secret", "out", "folder%20out/secret", "loop", "pipe"),
        *("sub", "", "missing", "a%00b", "sub/a%20b.txt/x", "x" * 5000),
    ],
)
async def test_nothing_else_is_read_and_all_of_it_looks_missing(root: Path, path: str) -> None:
    with pytest.raises(MediaRefused, match="no such file below --media-root"):
        await reader(root).read(f"file://{root}/{path}")


async def test_other_files_are_refused(root: Path) -> None:
    with pytest.raises(MediaRefused, match="no such file"):
        await reader(root).read("file:///etc/passwd")
    with pytest.raises(MediaRefused, match="another machine"):
        await reader(root).read(f"file://host{root}/in")
    with pytest.raises(MediaRefused, match="more than 1,000 bytes"):
        await reader(root).read(f"file://{root}/large")
    with pytest.raises(MediaRefused, match="--media-root"):
        await reader().read(f"file://{root}/in")


async def test_every_other_url_is_fetched() -> None:
    async with serving(fixed(b"web")) as web:
        assert (await reader().read(f"HTTP://127.0.0.1:{web.port}/")).content == b"web"
