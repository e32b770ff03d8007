"""The limit on requests from one client: `--rate-limit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from litestar import Litestar, Request
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

__all__ = ["Clients", "rate_limit"]

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
            wait = float((error.headers or {}).get(_RESET, 1))
            message = f"at most {self.max_requests} requests per {self.unit} are served; try again in {wait:g} s"
            raise RateLimitExceeded(message, retry_after=wait) from None


def rate_limit(limit: tuple[RateUnit, int], api_keys: Sequence[str]) -> DefineMiddleware:
    """Count each client's requests to models. A window of time begins with a client's first request.

    A client is an API key or, where none is required, an address. Responses have OpenAI's headers of requests that are
    left. A request over the limit is a 429.
    """
    numbers = {key: number for number, key in enumerate(api_keys)}

    def number(request: Request[Any, Any, Any]) -> int | None:
        sent = (key.encode("latin-1", "replace").decode("utf-8", "replace") for key in given_keys(request.headers))
        return next((numbers[key] for key in sent if key in numbers), None)

    def client(request: Request[Any, Any, Any]) -> str:
        address = request.client.host if request.client else "unknown"
        return f"key {number(request)}" if numbers else address

    def counts(request: Request[Any, Any, Any]) -> bool:
        """Whether it is work for a model. A request without a right key is refused, and must not fill the memory."""
        return request.method == "POST" and is_work(request.url.path) and not (numbers and number(request) is None)

    return _Config(
        rate_limit=limit,
        identifier_for_request=client,
        check_throttle_handler=counts,
        middleware_class=_Limit,
        rate_limit_limit_header_key="X-RateLimit-Limit-Requests",
        rate_limit_remaining_header_key="X-RateLimit-Remaining-Requests",
        rate_limit_reset_header_key=_RESET,
    ).middleware
