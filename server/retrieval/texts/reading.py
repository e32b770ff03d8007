"""The text of an uploaded file, whatever its format."""

from __future__ import annotations

import asyncio
import codecs
import os
import sys
from pathlib import Path

from contracts.retrieval.store_files import ErrorCode, LastError
from server.retrieval.texts.html import html_text

__all__ = ["MAX_CHARACTERS", "ReaderFailed", "Unreadable", "is_pdf", "printed", "read_text"]

MAX_CHARACTERS = 20_000_000
"""Of one file. OpenAI's limit is 5,000,000 tokens."""
PDF_SECONDS = 300.0
"""Time to read a PDF, after which it counts as unreadable."""
_PDF = b"%PDF-"
_HEAD = 1024
"""Bytes within which a PDF begins."""
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class Unreadable(Exception):
    """A file whose text cannot be read."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.error = LastError(code=code, message=message)


class ReaderFailed(Exception):
    """A program that reads a file failed. The message is the reason."""


async def read_text(path: Path, filename: str) -> str:
    """The text of a file. Reading takes place in a thread, or for a PDF in a process.

    Raises:
        Unreadable: there is none, or the format is not supported.
        OSError: the file cannot be opened.
    """
    head = await asyncio.to_thread(_head, path)
    text = await _pdf_text(path) if _PDF in head else await asyncio.to_thread(_plain_text, path, filename)
    if not text.strip():
        hint = "; scanned pages have none" if _PDF in head else ""
        raise Unreadable("invalid_file", f"the file has no text{hint}")
    if len(text) > MAX_CHARACTERS:
        raise Unreadable(
            "invalid_file", f"the text has {len(text):,} characters; at most {MAX_CHARACTERS:,} are indexed"
        )
    return text


def is_pdf(content: bytes) -> bool:
    return _PDF in content[:_HEAD]


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _plain_text(path: Path, filename: str) -> str:
    if path.stat().st_size > 4 * MAX_CHARACTERS:
        raise Unreadable("invalid_file", f"the file is larger than {4 * MAX_CHARACTERS:,} bytes")
    data = path.read_bytes()
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise Unreadable("unsupported_file", "the file is neither a PDF nor text in UTF-8 or UTF-16") from None
    if "\0" in text:
        raise Unreadable("unsupported_file", "the file is neither a PDF nor text")
    text = text.replace("\r\n", "\n")
    start = text[:1024].lstrip().lower()
    if filename.lower().endswith((".html", ".htm", ".xhtml")) or start.startswith(("<!doctype html", "<html")):
        return html_text(text)
    return text


async def _pdf_text(path: Path) -> str:
    """The text of a PDF."""
    try:
        text = await printed("server.retrieval.texts.pdf", str(path), str(MAX_CHARACTERS), seconds=PDF_SECONDS)
    except ReaderFailed as error:
        raise Unreadable("invalid_file", f"the PDF cannot be read: {error}") from None
    return text.decode()


async def printed(*arguments: str, seconds: float) -> bytes:
    """What a program prints that reads a file, in a process of its own: a malicious PDF can take any time and memory.

    The program is a module with these arguments, and the id of this process as the last one.

    Raises:
        ReaderFailed: it failed, or took longer.
    """
    reader = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments, str(os.getpid())),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            output, error = await reader.communicate()
    except TimeoutError:
        raise ReaderFailed(f"it could not be read within {seconds:.0f} seconds") from None
    finally:
        if reader.returncode is None:
            reader.kill()
            await reader.wait()
    if reader.returncode != 0:
        reason = error.decode(errors="replace").strip().rpartition("\n")[2][:256]
        raise ReaderFailed(reason or "its reader was ended")
    return output
