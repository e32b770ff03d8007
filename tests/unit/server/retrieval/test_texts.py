"""The texts of files: encodings, HTML, PDF, and what has none."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import psutil
import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from server.retrieval.texts import reading
from server.retrieval.texts.html import html_text
from server.retrieval.texts.reading import Unreadable, read_text


async def text_of(folder: Path, content: bytes, name: str = "a.txt") -> str:
    path = folder / "file"
    path.write_bytes(content)
    return await read_text(path, name)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("naïve café".encode(), "naïve café"),
        (b"\xef\xbb\xbfwith a mark", "with a mark"),
        ("Übung".encode("utf-16"), "Übung"),
        (b"a\r\nb", "a\nb"),
        (b'{"a": 1}', '{"a": 1}'),
        (b"a,b\n1,2\n", "a,b\n1,2\n"),
    ],
)
async def test_text_is_read_as_it_is(tmp_path: Path, content: bytes, text: str) -> None:
    assert await text_of(tmp_path, content) == text


async def test_html_is_read_by_its_name_or_its_beginning(tmp_path: Path) -> None:
    assert await text_of(tmp_path, b"<p>Hello</p>", "a.HTML") == "Hello"
    assert await text_of(tmp_path, b"<!DOCTYPE html><p>Hello</p>") == "Hello"
    assert await text_of(tmp_path, b"<p>Hello</p>") == "<p>Hello</p>"


def test_a_page_has_its_words_and_its_blocks() -> None:
    head = "<head><title>T</title><style>x{}</style></head>"
    page = f"{head}<h1>One</h1><script>no()</script><p>two &amp; <b>three</b></p>four<br/>five"
    assert html_text(page) == "T\n\nOne\n\ntwo & three\nfour\nfive"
    assert html_text("<p>open <b>and </p>stray</b></i>") == "open and\nstray"


async def test_a_pdf_is_read_page_by_page(tmp_path: Path) -> None:
    assert await text_of(tmp_path, pdf("Hello PDF", "Page two")) == "Hello PDF\n\nPage two\n\n"


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"", "invalid_file", "no text"),
        (b"\xff\xfe\xff", "unsupported_file", "neither a PDF nor text"),
        (b"latin \xe9", "unsupported_file", "UTF-8 or UTF-16"),
        (b"nul \0", "unsupported_file", "neither a PDF nor text"),
        (b"%PDF-1.4 nothing", "invalid_file", "the PDF cannot be read"),
    ],
)
async def test_what_has_no_text_says_why(tmp_path: Path, content: bytes, code: str, message: str) -> None:
    with pytest.raises(Unreadable, match=message) as raised:
        await text_of(tmp_path, content)
    assert raised.value.error.code == code


async def test_an_encrypted_pdf_and_one_without_text_say_why(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="encrypted"):
        await text_of(tmp_path, pdf("Hello", password="secret"))
    with pytest.raises(Unreadable, match="scanned pages have none"):
        await text_of(tmp_path, pdf(""))


async def test_a_text_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_CHARACTERS", 20)
    with pytest.raises(Unreadable, match="at most 20"):
        await text_of(tmp_path, b"a" * 21)
    with pytest.raises(Unreadable, match="larger than 80 bytes"):
        await text_of(tmp_path, b"a" * 81)
    with pytest.raises(Unreadable, match="too long"):
        await text_of(tmp_path, pdf("a" * 30))


async def test_a_pdf_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PDF_SECONDS", 0.0)
    with pytest.raises(Unreadable, match="within 0 seconds"):
        await text_of(tmp_path, pdf("Hello"))


def pdf(*pages: str, password: str | None = None) -> bytes:
    writer = PdfWriter()
    names = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
    font = DictionaryObject({NameObject(name): NameObject(value) for name, value in names.items()})
    for text in pages:
        page = writer.add_blank_page(300, 100)
        fonts = DictionaryObject({NameObject("/F1"): font})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        content = DecodedStreamObject()
        content.set_data(f"BT /F1 12 Tf 20 50 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = content
    if password is not None:
        writer.encrypt(password, algorithm="RC4-128")
    written = BytesIO()
    writer.write(written)
    return written.getvalue()


def test_the_reader_of_a_pdf_ends_when_its_server_has_died(tmp_path: Path) -> None:
    endless = tmp_path / "endless.pdf"
    os.mkfifo(endless)  # opening it waits for a writer
    program = (
        "import os, subprocess, sys\n"
        "reader = [sys.executable, '-m', 'server.retrieval.texts.pdf', sys.argv[1], '1', str(os.getpid())]\n"
        "print(subprocess.Popen(reader, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)\n"
    )
    died = subprocess.run([sys.executable, "-c", program, str(endless)], capture_output=True, text=True, check=True)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(died.stdout)).wait(20)
