"""The limit on requests from one client: `--rate-limit`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from litestar import Litestar, Request
from litestar.connection import ASGIConnection
from litestar.exceptions import TooManyRequestsException
from litestar.middleware import DefineMiddleware
from litestar.middleware.rate_limit import RateLimitConfig, RateLimitMiddleware
from litestar.stores.base import Store
from litestar.stores.memory import MemoryStore
from litestar.types import Receive, Scope, Send

from providers.errors import RateLimitExceeded
from server.guards import given_keys
from server.middleware.request import is_work
from server.settings.parsers import RateUnit

__all__ = ["Clients", "RequestLimit"]

MAX_CLIENTS = 10_000
"""Clients whose requests are counted. Beyond them, the count of the one that was counted first starts again."""
_RESET = "X-RateLimit-Reset-Requests"


class Clients(MemoryStore):
    """The counts of each client, of at most `MAX_CLIENTS`: there are more addresses than memory for them."""

    async def set(self, key: str, value: str | bytes, expires_in: int | timedelta | None = None) -> None:
        if len(self._store) >= MAX_CLIENTS and key not in self._store:
            await self.delete_expired()
            while len(self._store) >= MAX_CLIENTS:
                del self._store[next(iter(self._store))]
        await super().set(key, value, expires_in)


@dataclass
class _Config(RateLimitConfig):
    """Litestar's configuration, with a store of its own."""

    clients: Clients = field(default_factory=Clients)

    def get_store_from_app(self, app: Litestar) -> Store:
        return self.clients


class _Limit(RateLimitMiddleware):
    """Litestar's limit, with this server's error."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except TooManyRequestsException as error:
            raise _exceeded(self, float((error.headers or {}).get(_RESET, 1))) from None


class RequestLimit:
    """Counts each client's requests to models, and its realtime responses.

    A window of time begins with the first request of a client.

    A client is an API key or, where none is required, an address. HTTP responses have OpenAI's headers of requests that
    are left. A request over the limit is a 429, and a realtime response over it fails.
    """

    def __init__(self, limit: tuple[RateUnit, int], api_keys: Sequence[str]) -> None:
        self._numbers = {key: number for number, key in enumerate(api_keys)}
        self._config = _Config(
            rate_limit=limit,
            identifier_for_request=lambda request: self.client(request, given_keys(request.headers)),
            check_throttle_handler=self._counts,
            middleware_class=_Limit,
            rate_limit_limit_header_key="X-RateLimit-Limit-Requests",
            rate_limit_remaining_header_key="X-RateLimit-Remaining-Requests",
            rate_limit_reset_header_key=_RESET,
        )
        self._limit = _Limit(_nothing, self._config)

    @property
    def middleware(self) -> DefineMiddleware:
        """Of HTTP requests."""
        return self._config.middleware

    def client(self, connection: ASGIConnection[Any, Any, Any, Any], keys: Sequence[str]) -> str:
        """The name under which a client is counted. `keys`: what it sent."""
        address = connection.client.host if connection.client else "unknown"
        return f"key {self._number(keys)}" if self._numbers else address

    async def count(self, client: str) -> None:
        """Count a response of this client that is no HTTP request.

        Raises:
            RateLimitExceeded: the client has made as many as it may.
        """
        store, key = self._config.clients, f"{type(self._limit).__name__}::{client}"
        kept = await self._limit.retrieve_cached_history(key, store)
        if len(kept.history) >= self._limit.max_requests:
            raise _exceeded(self._limit, max(1.0, kept.reset - time.time()))
        await self._limit.set_cached_history(key=key, cache_object=kept, store=store)

    def _counts(self, request: Request[Any, Any, Any]) -> bool:
        """Whether it is work for a model. A request without a right key is refused, and must not fill the memory."""
        known = not self._numbers or self._number(given_keys(request.headers)) is not None
        return request.method == "POST" and is_work(request.url.path) and known

    def _number(self, keys: Sequence[str]) -> int | None:
        sent = (key.encode("latin-1", "replace").decode("utf-8", "replace") for key in keys)
        return next((self._numbers[key] for key in sent if key in self._numbers), None)


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """The application of the limit that counts what is no HTTP request."""


def _exceeded(limit: RateLimitMiddleware, wait: float) -> RateLimitExceeded:
    message = f"at most {limit.max_requests} requests per {limit.unit} are served; try again in {wait:.0f} s"
    return RateLimitExceeded(message, retry_after=wait)
