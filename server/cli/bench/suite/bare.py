"""The least that Granian and Litestar do with a request: decode its JSON, and encode an answer of about its size."""

from __future__ import annotations

from litestar import Litestar, get, post

__all__ = ["app"]


@get("/ready", sync_to_thread=False)
def ready() -> dict[str, bool]:
    return {"ready": True}


@post("/v1/chat/completions", status_code=200, sync_to_thread=False)
def answer(data: dict[str, object]) -> dict[str, object]:
    return data


app = Litestar([ready, answer], openapi_config=None, logging_config=None)
