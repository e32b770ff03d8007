"""The console's line for a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

__all__ = ["request_line"]

_PLAIN = "\x1b[0m"
_BOLD = "\x1b[1m"
_BY_CLASS = {2: "\x1b[32m", 3: "\x1b[36m", 4: "\x1b[33m", 5: "\x1b[31m"}


def request_line(colors: bool, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Write the fields of an event named `request` as one text; other events and fields stay as they are.

    `POST /v1/chat/completions 200  qwen  39+12 tokens, 32 cached  first 0.210 s  24.1 tok/s  0.712 s  1.2 kB in …`
    """
    if event.get("event") != "request" or "method" not in event or "path" not in event:
        return event
    method, path, status = event.pop("method"), _printable(event.pop("path")), event.pop("status", None)
    code = "---" if status is None else str(status)
    if colors:
        color = _BY_CLASS.get((status or 0) // 100, "")
        method, code = f"{_BOLD}{method}{_PLAIN}", f"{color}{code}{_PLAIN}"
    parts = [f"{method} {path} {code}"]
    if (model := event.pop("model", None)) is not None:
        parts.append(str(model))
    parts += _tokens(event)
    for name, form in (
        ("ttft", "first {:.3f} s"),
        ("tokens_per_second", "{:.1f} tok/s"),
        ("audio_seconds", "{:.1f} s audio"),
        ("duration", "{:.3f} s"),
    ):
        if (value := event.pop(name, None)) is not None:
            parts.append(form.format(value))
    received, sent = event.pop("request_bytes", None), event.pop("response_bytes", None)
    if received is not None and sent is not None:
        parts.append(f"{_size(received)} in, {_size(sent)} out")
    return {**event, "event": "  ".join(parts)}


def _tokens(event: EventDict) -> list[str]:
    prompt, output = event.pop("input_tokens", None), event.pop("output_tokens", None)
    cached = event.pop("cached_tokens", None)
    if prompt is None and output is None:
        return []
    counts = "+".join(str(count) for count in (prompt, output) if count is not None)
    return [f"{counts} tokens" + (f", {cached} cached" if cached else "")]


def _printable(path: Any) -> str:
    """The path, quoted if it contains characters that could control a terminal."""
    text = str(path)
    return text if text.isprintable() and " " not in text else repr(text)


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"
