"""The exporters that the environment selects, for each signal.

This stays ours: `opentelemetry.sdk._configuration` is private, exports only if `OTEL_*_EXPORTER` is set (an endpoint is
not enough), defaults to gRPC although only HTTP is installed, and raises instead of warning if an exporter is missing.
The exporters themselves come from the same entry points.
"""

from __future__ import annotations

import logging
import os
from importlib.metadata import entry_points
from typing import Any, Literal

from opentelemetry.environment_variables import OTEL_LOGS_EXPORTER, OTEL_METRICS_EXPORTER, OTEL_TRACES_EXPORTER
from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_EXPORTER_OTLP_LOGS_ENDPOINT,
    OTEL_EXPORTER_OTLP_LOGS_PROTOCOL,
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
    OTEL_EXPORTER_OTLP_METRICS_PROTOCOL,
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
    OTEL_SDK_DISABLED,
)

__all__ = ["Signal", "disabled", "exporters"]

Signal = Literal["traces", "metrics", "logs"]

_OTLP = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
"""Entry points of the OTLP exporters, by protocol. Only the first is a dependency of this project."""
_VARIABLES: dict[Signal, tuple[str, str, str]] = {
    "traces": (OTEL_TRACES_EXPORTER, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL),
    "metrics": (OTEL_METRICS_EXPORTER, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, OTEL_EXPORTER_OTLP_METRICS_PROTOCOL),
    "logs": (OTEL_LOGS_EXPORTER, OTEL_EXPORTER_OTLP_LOGS_ENDPOINT, OTEL_EXPORTER_OTLP_LOGS_PROTOCOL),
}
"""Variables of each signal: exporters, endpoint, protocol."""

_logger = logging.getLogger(__name__)


def disabled() -> bool:
    """Whether the environment turns the SDK off."""
    return _variable(OTEL_SDK_DISABLED).lower() == "true"


def exporters(signal: Signal) -> list[Any]:
    """The selected exporters that start; a warning names each that does not."""
    return [exporter for name in _chosen(signal) if (exporter := _load(signal, name)) is not None]


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip()


def _chosen(signal: Signal) -> list[str]:
    which, endpoint, _ = _VARIABLES[signal]
    chosen = _variable(which)
    if not chosen:
        # Log lines are exported only on request: most collectors read them from standard error already.
        collector = _variable(endpoint) or (signal != "logs" and _variable(OTEL_EXPORTER_OTLP_ENDPOINT))
        chosen = "otlp" if collector else "none"
    ours = {"", "none", "prometheus"}  # the Prometheus page is always there
    return [name for part in chosen.split(",") if (name := part.strip().lower()) not in ours]


def _load(signal: Signal, name: str) -> Any:
    """The installed exporter of this name, or None and a warning."""
    wanted = name
    if name == "otlp":
        protocol = _variable(_VARIABLES[signal][2]) or _variable(OTEL_EXPORTER_OTLP_PROTOCOL) or "http/protobuf"
        name, wanted = _OTLP.get(protocol, protocol), f"otlp over {protocol}"
    found = tuple(entry_points(group=f"opentelemetry_{signal}_exporter", name=name))
    if not found:
        _logger.warning("no exporter for %s is installed: %s are not sent there", wanted, signal)
        return None
    try:
        return found[0].load()()
    except Exception:
        _logger.warning("the exporter for %s failed to start: %s are not sent there", wanted, signal, exc_info=True)
        return None
