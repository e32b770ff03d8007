"""Large bodies, which are decoded and translated in threads: in 32 MB there are millions of values.

On the event loop that takes seconds, in which no other request would be answered. In a thread the loop gets its turn
after each switch interval of the interpreter.
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

__all__ = ["decode_ahead", "decoded_ahead", "translated"]

P = ParamSpec("P")
T = TypeVar("T")

LARGE = 32_768
"""Bytes. A smaller body takes milliseconds, whatever it holds."""
_IS_LARGE, _DECODED = "large", "decoded"
"""Keys of `scope["state"]`: that the body is large, and the contract that a thread made of it."""
_threads = ThreadPoolExecutor(2, "large-bodies")


async def decode_ahead(request: Request[Any, Any, Any], handler: BaseRouteHandler, body: bytes) -> None:
    """Decode a large body before the handler's DTO decodes it on the event loop.

    Raises: what `decode_bytes` of the DTO raises.
    """
    dto = handler.resolve_data_dto()
    if len(body) < LARGE or dto is None:
        return
    state = request.scope["state"]
    state[_DECODED] = await _in_thread(dto(request).decode_bytes, body)
    state[_IS_LARGE] = True


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
