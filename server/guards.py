"""Requirements that a request must meet before its body is decoded."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from litestar.connection import ASGIConnection, Request
from litestar.exceptions import HTTPException
from litestar.handlers.base import BaseRouteHandler
from litestar.types import Guard

from providers.errors import InvalidApiKey, InvalidRequest
from server.cache_scope import enter_scope, key_scope
from server.large_bodies import decode_ahead

__all__ = [
    "OPEN",
    "QUEUE",
    "ApiKeys",
    "RequestTooLarge",
    "UnsupportedMediaType",
    "api_key_guard",
    "given_keys",
    "json_body",
    "refuse_when_full",
]

_KEY_HEADERS = ("x-api-key", "api-key")
OPEN = "open"
"""`opt` key of handlers that need no API key."""
QUEUE = "queue"
"""`opt` key of handlers whose requests wait in the queues of this `Capability`."""
_SMALL = 32_768
"""Bytes of a body that is read even when the queue is full: what is wrong with it comes first."""


class UnsupportedMediaType(HTTPException):
    """The body is not in a format that this endpoint reads."""

    status_code = 415


class RequestTooLarge(HTTPException):
    """The body, or a file in it, is larger than this server accepts."""

    status_code = 413


class ApiKeys:
    """The keys of the server. `scopes`: each key has prompts of its own in the prefix cache."""

    def __init__(self, keys: Sequence[str], *, scopes: bool = False) -> None:
        self._expected = {key.encode(): key_scope(key.encode()) if scopes else "" for key in keys}

    def scope(self, given: Sequence[str]) -> str:
        """The scope of the prompts of a client with these keys.

        Raises:
            InvalidApiKey: there is none, or none is right.
        """
        if not given:
            raise InvalidApiKey("the request has no API key; send the header 'Authorization: Bearer <key>'")
        # Headers arrive decoded as latin-1; this restores the bytes that were sent.
        sent = [key.encode("latin-1", "replace") for key in given]
        expected = self._expected
        scope = next((expected[right] for key in sent for right in expected if hmac.compare_digest(key, right)), None)
        if scope is None:
            raise InvalidApiKey("the API key is wrong")
        return scope


def api_key_guard(api_keys: Sequence[str], *, scopes: bool = False) -> Guard:
    """Require one of the keys, except for handlers with `opt={"open": True}`.

    It is read from `Authorization: Bearer <key>`, from `x-api-key` (Anthropic's clients) or from `api-key` (Azure's).

    `scopes`: each key has prompts of its own in the prefix cache.
    """
    keys = ApiKeys(api_keys, scopes=scopes)

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        # Litestar calls a function that is not asynchronous in a thread, from which the request would get no scope.
        if handler.opt.get(OPEN):
            return
        enter_scope(keys.scope(given_keys(connection.headers)))

    return guard


def given_keys(headers: Mapping[str, str]) -> list[str]:
    """The keys that a request has in its headers."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    candidates = [bearer if scheme.lower() == "bearer" else "", *(headers.get(name, "") for name in _KEY_HEADERS)]
    return [key.strip() for key in candidates if key.strip()]


async def json_body(request: Request[Any, Any, Any]) -> None:
    """Require a JSON body that is not empty, and decode it where it is large. A handler's `before_request`.

    Litestar does not check the content type of a DTO's body, and does not decode an empty one. It copies the handler
    for every guard of every request, which takes as long as this check.

    Raises:
        UnsupportedMediaType: the content type, charset or encoding is not that of JSON in UTF-8.
        QueueFull: no model has room for the request, and its body is large.
        InvalidRequest: the body is empty, or a large body is wrong.
    """
    if _header(request, b"content-type") != "application/json":  # nearly every request has this and no options
        _check_content_type(request)
    if (_header(request, b"content-encoding") or "identity").lower() != "identity":
        raise UnsupportedMediaType("compressed bodies are not supported")
    handler = request.route_handler
    refuse_when_full(request, handler)
    if not (body := await request.body()):
        raise InvalidRequest("the request body is empty; send a JSON object")
    await decode_ahead(request, handler, body)


def _check_content_type(request: Request[Any, Any, Any]) -> None:
    given, options = request.content_type
    media_type = given.strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        what = f"content type {media_type[:64]!r} is not supported" if media_type else "the request has no content type"
        raise UnsupportedMediaType(f"{what}; send the header 'Content-Type: application/json'")
    if options.get("charset", "utf-8").strip("\"'").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType("JSON must be in UTF-8")


def _header(connection: ASGIConnection[Any, Any, Any, Any], name: bytes) -> str:
    """The first header of this name in lower case. Litestar's `headers` decodes all."""
    return next((value.decode("latin-1") for known, value in connection.scope["headers"] if known == name), "")


def refuse_when_full(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Refuse a large body, or one of unknown length, before it is read, where its request would be refused after that.

    The body names the model. So every model of the capability has to be full.

    Raises:
        QueueFull: all queues of the handler's capability are full.
    """
    capability = handler.opt.get(QUEUE)
    length = _header(connection, b"content-length")
    if capability is None or (length.isdigit() and int(length) <= _SMALL):
        return
    models = connection.app.state.service.registry.available(capability)
    if models and all(model.full for model in models):
        models[0].refuse_full()
