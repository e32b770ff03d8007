"""What is known of an answer before its content."""

from __future__ import annotations

import functools
import hashlib
import os
import time

import attrs

__all__ = ["AnswerHeader"]


@attrs.frozen(kw_only=True)
class AnswerHeader:
    """The fields that a whole answer of chat or completions has in common with each of its chunks."""

    id: str
    created: int
    model: str
    system_fingerprint: str
    request_id: str

    @classmethod
    def new(cls, *, model: str, version: str, request_id: str, prefix: str) -> AnswerHeader:
        """The header of an answer that begins now; its id begins with `prefix` and a dash.

        The fingerprint changes with the model and with the server's version.
        """
        return cls(
            id=f"{prefix}-{os.urandom(16).hex()}",
            created=int(time.time()),
            model=model,
            system_fingerprint=_fingerprint(version, model),
            request_id=request_id,
        )


@functools.lru_cache(256)
def _fingerprint(version: str, model: str) -> str:
    digest = hashlib.sha256(f"{version}\0{model}".encode()).hexdigest()
    return f"fp_{digest[:10]}"
