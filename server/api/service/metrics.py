"""`/metrics`: Prometheus text."""

from __future__ import annotations

from litestar import Controller, Response, get

import otel

__all__ = ["MetricsController"]


class MetricsController(Controller):
    path = "/metrics"
    include_in_schema = False

    @get(name="metrics", sync_to_thread=True)
    def metrics(self) -> Response[bytes]:
        """Collected in a thread: it takes milliseconds, for which no stream should wait."""
        body, content_type = otel.metrics_page()
        return Response(body, headers={"content-type": content_type})
