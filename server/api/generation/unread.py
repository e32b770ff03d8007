"""Content of tools' results that the model cannot read: an image, sound, a video, a file.

A tool of the client made it, and every later turn repeats it: a refusal would end the conversation. The model reads a
placeholder instead, and the parameter is noted.
"""

from __future__ import annotations

from typing import Literal

from server.noted import note

__all__ = ["placeholder"]


def placeholder(kind: Literal["audio", "file", "image", "video"], path: str) -> str:
    """What the model reads instead of the content at `path`."""
    note(path)
    return f"[{kind}]"
