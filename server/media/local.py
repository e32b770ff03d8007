"""`data:` URLs, and `file:` URLs below the folder that the server's operator names."""

from __future__ import annotations

import binascii
import os
import stat
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from server.media.media import Media, MediaRefused, refuse_larger

__all__ = ["decoded", "of_base64", "of_file"]

_SPACE = b" \t\n\r\v\f"
_STANDARD = bytes.maketrans(b"-_", b"+/")
_PIECE = 1 << 20
"""Characters that are decoded together. The decoder holds the interpreter's lock, and streams wait for it."""


def decoded(url: str, *, max_bytes: int) -> Media:
    """The content of a `data:` URL.

    Raises:
        MediaRefused: it is broken or too large.
    """
    head, comma, data = url.removeprefix("data:").partition(",")
    if not comma:
        raise MediaRefused("it is no data URL: a comma is missing")
    media_type, *parameters = (part.strip().lower() for part in head.split(";"))
    if "base64" in parameters:
        return of_base64(unquote(data), media_type or None, max_bytes=max_bytes)
    refuse_larger(len(data) // 3, max_bytes)
    content = unquote_to_bytes(data)
    refuse_larger(len(content), max_bytes)
    return Media(content=content, media_type=media_type or None)


def of_base64(data: str, media_type: str | None = None, *, max_bytes: int) -> Media:
    """What a text in base64 stands for, with or without line breaks and padding, in either alphabet.

    Raises:
        MediaRefused: it is broken or too large.
    """
    content = bytearray()
    try:
        text, left = data.rstrip("= \t\n\r\v\f").encode("ascii"), b""
        for begin in range(0, len(text), _PIECE):
            left += text[begin : begin + _PIECE].translate(_STANDARD, _SPACE)
            whole = len(left) // 4 * 4
            content += binascii.a2b_base64(left[:whole], strict_mode=True)
            left = left[whole:]
            refuse_larger(len(content), max_bytes)
        content += binascii.a2b_base64(left + b"=" * (-len(left) % 4), strict_mode=True)
    except ValueError:  # binascii's error is one, and that of a text that is not ASCII
        raise MediaRefused("it is not base64") from None
    refuse_larger(len(content), max_bytes)
    return Media(content=bytes(content), media_type=media_type)


def of_file(url: str, root: Path | None, *, max_bytes: int) -> Media:
    """The content of a file below `root`, also after symbolic links are followed.

    Raises:
        MediaRefused: there is no root, or the file is outside it, cannot be read or is too large.
    """
    if root is None:
        raise MediaRefused("this server reads no file URLs (--media-root)")
    try:
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost"):
            raise MediaRefused("it names another machine")
        home = root.resolve(strict=True)
        path = Path(unquote(parts.path)).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # RuntimeError: links in a loop
        raise MediaRefused(_MISSING) from None
    if home not in path.parents:
        raise MediaRefused(_MISSING)
    return Media(content=_read(home, path.relative_to(home).parts, max_bytes), name=path.name)


_MISSING = "there is no such file below --media-root"
"""Also for files outside it: the message does not reveal what exists there."""


def _read(home: Path, parts: tuple[str, ...], max_bytes: int) -> bytes:
    """The content of a file, every folder on the way opened by its parent: none can become a link meanwhile."""
    try:
        folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
        for name in parts[:-1]:
            folder = _opened(name, folder, os.O_DIRECTORY)
        file = _opened(parts[-1], folder, os.O_NONBLOCK)  # a pipe without a writer would block
    except OSError:
        raise MediaRefused(_MISSING) from None
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise MediaRefused(_MISSING)
        refuse_larger(status.st_size, max_bytes)
        with os.fdopen(file, "rb", closefd=False) as opened:
            content = opened.read(max_bytes + 1)
    finally:
        os.close(file)
    refuse_larger(len(content), max_bytes)  # it may have grown
    return content


def _opened(name: str, folder: int, flags: int) -> int:
    """Open a name within a folder, whose descriptor is closed."""
    try:
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | flags, dir_fd=folder)
    finally:
        os.close(folder)
