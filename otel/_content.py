"""Prompts and answers on spans, in the conventions' form: only with `--trace-content`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from otel import names

__all__ = ["Content", "capture_content", "captures_content", "content_attributes"]

_MAX_CHARACTERS = 65_536
"""Limit of each attribute. Collectors refuse batches that are too large."""

_captured = False


@attrs.frozen(kw_only=True)
class Content:
    """Messages in the form of the conventions' JSON schemas (`role`, `parts`; answers also `finish_reason`)."""

    input_messages: Sequence[Mapping[str, Any]] = ()
    output_messages: Sequence[Mapping[str, Any]] = ()
    tool_definitions: Sequence[Mapping[str, Any]] = ()


def capture_content(wanted: bool) -> None:
    """Set whether this process records contents. The default is not to."""
    global _captured
    _captured = wanted


def captures_content() -> bool:
    """Whether spans of this process record contents."""
    return _captured


def content_attributes(content: Content) -> dict[str, str]:
    """Span attributes: one JSON text each, cut at the limit."""
    values = {
        names.GEN_AI_INPUT_MESSAGES: content.input_messages,
        names.GEN_AI_OUTPUT_MESSAGES: content.output_messages,
        names.GEN_AI_TOOL_DEFINITIONS: content.tool_definitions,
    }
    return {name: _text(value) for name, value in values.items() if value}


def _text(value: Sequence[Mapping[str, Any]]) -> str:
    text = json.dumps(list(value), ensure_ascii=False, default=str)
    return text[:_MAX_CHARACTERS].encode("utf-8", "replace").decode()
