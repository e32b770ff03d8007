"""Which requests may find each other's prompts in the prefix cache.

The time of an answer and its `cached_tokens` show whether a prompt was computed before. So prompts are found only by
requests of the same API key, and with the same `cache_salt`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["cache_salt", "current_scope", "enter_scope", "key_scope", "shared_scope"]

_scope: ContextVar[str] = ContextVar("cache_scope", default="")


def key_scope(key: bytes) -> str:
    """The scope of a key, which other processes and files may hold: a digest of 64 hexadecimal digits."""
    return hashlib.blake2b(key, digest_size=32, person=b"prefix-cache").hexdigest()


def enter_scope(scope: str) -> None:
    """Give the current request this scope."""
    _scope.set(scope)


def current_scope() -> str:
    """The scope of the current request."""
    return _scope.get()


@contextmanager
def shared_scope() -> Iterator[None]:
    """Context of a request: until `enter_scope`, it shares prompts with all others."""
    token = _scope.set("")
    try:
        yield
    finally:
        _scope.reset(token)


def cache_salt(own: str | None) -> str:
    """The salt of the current request's prompts. `own`: the request's `cache_salt`."""
    scope = _scope.get()
    if not own:
        return scope
    return hashlib.blake2b(own.encode("utf-8", "surrogatepass"), digest_size=32, key=scope.encode()).hexdigest()
