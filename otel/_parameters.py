"""Parameters of requests that had no effect."""

from __future__ import annotations

from otel import metric_names as m
from otel._instruments import instruments

__all__ = ["ignored_parameter"]


def ignored_parameter(name: str) -> None:
    """Count a parameter that had no effect. Names that clients choose must not become labels: pass `unknown`."""
    instruments().ignored_parameters.add(1, {m.PARAMETER: name})
