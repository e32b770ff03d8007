"""Large bodies, which are decoded and translated in threads: in 32 MB there are millions of values.

On the event loop that takes seconds, in which no other request would be answered. In a thread the loop gets its turn
after each switch interval of the interpreter, except while the decoder runs: it holds the interpreter's lock. So the
values are counted first, and a body with more of them than the decoder makes in a tenth of a second is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

from litestar import Request
from litestar.handlers.base import BaseRouteHandler
from litestar.types import Scope

from providers.errors import InvalidRequest

__all__ = ["check_counts", "decode_ahead", "decoded_ahead", "translated"]

P = ParamSpec("P")
T = TypeVar("T")

LARGE = 32_768
"""Bytes. A smaller body takes milliseconds, whatever it holds."""
MAX_FIELDS = 250_000
"""Fields, lists and objects of a body: 100 ms of the decoder."""
MAX_VALUES = 2_000_000
"""Values of a body, such as token ids: 30 ms of the decoder, or 100 ms where they are strings."""
_STRIDE = 1_000_000
"""Bytes that are searched without giving up the interpreter's lock: 0.3 ms."""
_BACKSLASH = 0x5C
_IS_LARGE, _DECODED = "large", "decoded"
"""Keys of `scope["state"]`: that the body is large, and the contract that a thread made of it."""
_threads = ThreadPoolExecutor(2, "large-bodies")


async def decode_ahead(request: Request[Any, Any, Any], handler: BaseRouteHandler, body: bytes) -> None:
    """Decode a large body before the handler's DTO decodes it on the event loop.

    Raises: what `decode_bytes` of the DTO raises, and `InvalidRequest` for a body of too many values.
    """
    dto = handler.resolve_data_dto()
    if len(body) < LARGE or dto is None:
        return
    state = request.scope["state"]
    await _in_thread(check_counts, body)
    state[_DECODED] = await _in_thread(dto(request).decode_bytes, body)
    state[_IS_LARGE] = True


def check_counts(body: bytes) -> None:
    """
    Raises:
        InvalidRequest: the JSON has more than `MAX_FIELDS` fields, lists and objects, or more than `MAX_VALUES` values.
    """
    values = fields = 0
    for begin in range(0, len(body), _STRIDE):  # punctuation within texts included
        values += body.count(b",", begin, begin + _STRIDE)
        fields += _fields(body, begin, begin + _STRIDE)
    if values < MAX_VALUES and fields <= MAX_FIELDS:
        return
    values = fields = begin = 0
    while begin < len(body):
        quote = body.find(b'"', begin)
        end = len(body) if quote < 0 else quote
        values += body.count(b",", begin, end)
        fields += _fields(body, begin, end)
        if fields > MAX_FIELDS:
            raise InvalidRequest(f"the body has more than {MAX_FIELDS:,} fields, lists and objects")
        if values >= MAX_VALUES:
            raise InvalidRequest(f"the body has more than {MAX_VALUES:,} values")
        begin = _after_string(body, end + 1)


def _fields(body: bytes, begin: int, end: int) -> int:
    return body.count(b":", begin, end) + body.count(b"[", begin, end) + body.count(b"{", begin, end)


def _after_string(body: bytes, begin: int) -> int:
    """The offset after the string whose first character is at `begin`."""
    while (quote := body.find(b'"', begin)) >= 0:
        first = quote
        while first > begin and body[first - 1] == _BACKSLASH:
            first -= 1
        if (quote - first) % 2 == 0:
            return quote + 1
        begin = quote + 1
    return len(body)


def decoded_ahead(scope: Scope) -> Any:
    """The contract that `decode_ahead` made of the body, for one caller; None if there is none."""
    return scope["state"].pop(_DECODED, None)


async def translated(
    request: Request[Any, Any, Any], translate: Callable[P, T], *arguments: P.args, **options: P.kwargs
) -> T:
    """What `translate` makes of a body, in a thread where the body is large."""
    if _IS_LARGE in request.scope["state"]:
        return await _in_thread(translate, *arguments, **options)
    return translate(*arguments, **options)


async def _in_thread(function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    call = partial(copy_context().run, function, *arguments, **options)  # `note` and logs find their request
    return await asyncio.get_running_loop().run_in_executor(_threads, call)
