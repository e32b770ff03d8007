"""A piece of media, and the error of one that cannot be had."""

from __future__ import annotations

import attrs

__all__ = ["Media", "MediaRefused", "refuse_larger"]


@attrs.frozen(kw_only=True)
class Media:
    """Bytes, and what their source says of them."""

    content: bytes
    media_type: str | None = None
    """In lower case, without parameters: `application/pdf`."""
    name: str | None = None
    """Of the file, without folders."""


class MediaRefused(Exception):
    """A piece of media that the server does not fetch or read. The message is for the client, and ends a sentence."""


def refuse_larger(size: int, limit: int) -> None:
    """Raises: MediaRefused: there are more bytes than the limit."""
    if size > limit:
        raise MediaRefused(f"it has more than {limit:,} bytes (--max-media)")
