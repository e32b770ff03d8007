"""What the realtime sessions of a server share: keys of clients, and sessions whose client may come back."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import attrs

from contracts.realtime.session import RealtimeSessionConfig
from providers.errors import InvalidApiKey, NotFound
from server.api.realtime.connection import Limits
from server.api.realtime.session import Session
from server.guards import ApiKeys
from server.middleware.rate_limit import RequestLimit

__all__ = ["KEPT_SECONDS", "Hub", "Secret"]

KEPT_SECONDS = 60.0
"""In which a client that lost its connection can go on with its session."""
MAX_KEPT = 64
MAX_SECRETS = 1024
PREFIX = "ek_"


@attrs.frozen(kw_only=True)
class Secret:
    """A key of one client. It opens sessions until it expires."""

    value: str
    expires_at: float
    scope: str
    """Of the key that made it: which prompts may be found in the prefix cache."""
    config: RealtimeSessionConfig
    client: str
    """The client that made it, under whose name its responses are counted."""


@attrs.frozen
class _Kept:
    session: Session
    model: str
    scope: str
    until: float


class Hub:
    """Bounded in memory; nothing of it outlives the process."""

    def __init__(
        self,
        *,
        api_keys: ApiKeys | None = None,
        origins: Sequence[str] = (),
        limits: Limits | None = None,
        strict: bool = False,
        requests: RequestLimit | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`origins`: pages that may connect, beside the server's own. `strict`: refuse parameters without effect."""
        self.limits = limits or Limits()
        self.strict = strict
        self.requests = requests
        """The limit on a client's requests, which counts its responses too; None: there is none."""
        self._keys = api_keys
        self._any_origin = "*" in origins
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)
        self._clock = clock
        self._secrets: OrderedDict[str, Secret] = OrderedDict()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def allows(self, origin: str | None, host: str | None) -> bool:
        """Whether a page of this origin may connect.

        Browsers let every page open a WebSocket, and send its origin. Other clients send none.
        """
        if origin is None or self._any_origin:
            return True
        origin = origin.lower()
        return origin in self._origins or (host is not None and origin.partition("://")[2] == host.lower())

    def enter(self, given: Sequence[str]) -> tuple[str, Secret | None]:
        """The scope of the prompts of a client with these keys, and its own key if it has one.

        Raises:
            InvalidApiKey: a key is required, and none of these is right, or it has expired.
        """
        for key in given:
            if key.startswith(PREFIX):
                secret = self._secrets.get(key)
                if secret is None or secret.expires_at <= self._clock():
                    raise InvalidApiKey("the client secret is wrong or has expired")
                return secret.scope, secret
        return ("" if self._keys is None else self._keys.scope(given)), None

    def new_secret(self, config: RealtimeSessionConfig, seconds: int, scope: str, client: str = "") -> Secret:
        """A new key, which opens sessions with these settings."""
        secret = Secret(
            value=f"{PREFIX}{secrets.token_hex(24)}",
            expires_at=int(self._clock()) + seconds,
            scope=scope,
            config=config,
            client=client,
        )
        self._secrets[secret.value] = secret
        while len(self._secrets) > MAX_SECRETS:
            self._secrets.popitem(last=False)
        return secret

    def keep(self, session: Session, model: str, scope: str) -> None:
        """Keep a session whose client has gone."""
        now = self._clock()
        for id in [id for id, kept in self._kept.items() if kept.until <= now]:
            del self._kept[id]
        self._kept[session.id] = _Kept(session, model, scope, now + KEPT_SECONDS)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    def resume(self, id: str, scope: str) -> tuple[Session, str]:
        """The session to go on with, and the name of its model.

        Raises:
            NotFound: it is not kept, or another client's, or it has a connection.
        """
        kept = self._kept.get(id)
        if kept is None or kept.scope != scope or kept.until <= self._clock():
            raise NotFound(
                f"session_id: there is no session {id[:64]!r} to resume; they are kept for {KEPT_SECONDS:g} seconds",
                param="session_id",
            )
        del self._kept[id]
        return kept.session, kept.model
