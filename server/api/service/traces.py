"""`/traces`: the page of the last requests."""

from __future__ import annotations

import time
from functools import cache
from importlib.resources import files
from typing import Any

from litestar import Controller, MediaType, Response, get
from litestar.params import FromQuery

import otel
from server.dependencies import ServiceDependency

__all__ = ["TracesController"]

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page loads no other resource."""


class TracesController(Controller):
    path = "/traces"
    include_in_schema = False

    @get(name="traces", opt={"open": True}, sync_to_thread=False)
    def page(self) -> Response[bytes]:
        """The page needs no key: it holds no data, and asks its user for the key before it requests any."""
        return Response(_html(), media_type=MediaType.HTML, headers={"content-security-policy": _POLICY})

    @get("/data", name="traces.data", sync_to_thread=False)
    def data(self, service: ServiceDependency, since: FromQuery[int] = 0) -> dict[str, Any]:
        """Requests that finished after number `since`, those in flight, and the state of the models now."""
        return {
            "version": service.version,
            "time": time.time(),
            **otel.recent_requests(since),
            "models": [_live(reading) for reading in otel.readings()],
        }


def _live(reading: otel.ModelReading) -> dict[str, Any]:
    return {
        "model": reading.model,
        "ready": reading.ready,
        "pending": reading.pending,
        "active": reading.active,
        "rows": reading.sequences,
        "tokens": dict(reading.tally.tokens()),
        "memory": dict(reading.memory),
    }


@cache
def _html() -> bytes:
    return (files("server") / "static" / "traces.html").read_bytes()
