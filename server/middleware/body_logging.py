"""Bodies for `--log-bodies`: text of bounded length, without secrets."""

from __future__ import annotations

import re
from typing import Any

import msgspec

__all__ = ["MAX_BYTES", "Body"]

MAX_BYTES = 64_000
"""Logged bytes of each body; further bytes are only counted."""
_MAX_STRING = 4_000
"""Logged characters of each string in a JSON body: images and audio are longer."""
_REDACTED = "[redacted]"
_SECRET_KEY = re.compile(
    r"api[-_]?key|authorization|password|passwd|secret|credential|private[-_]?key|(?:^|[-_])token$|access[-_]?token",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"\b(?:sk|pk|rk|hf|ghp|gho|ghs|github_pat|xox[abprs]|glpat|AKIA)[-_][A-Za-z0-9_\-]{8,}"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|(?i:\bbearer\s+)[A-Za-z0-9._~+/\-]{8,}=*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)


class Body:
    """Collects one body as it is received or sent."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._kept = 0
        self.size = 0

    def add(self, part: bytes) -> None:
        self.size += len(part)
        if part and self._kept < MAX_BYTES:
            self._parts.append(part[: MAX_BYTES - self._kept])
            self._kept += len(self._parts[-1])

    def text(self, content_type: str) -> str:
        """The body for a log line: JSON and text without secrets, anything else as its size."""
        if not self.size:
            return ""
        kind = content_type.partition(";")[0].strip().lower()
        if kind and not (kind.startswith("text/") or kind.endswith(("json", "+json", "xml", "x-www-form-urlencoded"))):
            return f"[{self.size} bytes of {kind}]"
        raw = b"".join(self._parts)
        left = f" [{self.size - self._kept} more bytes]" if self.size > self._kept else ""
        return _redacted(raw) + left


def _redacted(raw: bytes) -> str:
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return _redacted_lines(raw.decode("utf-8", "replace"))
    return msgspec.json.encode(_without_secrets(value)).decode()


def _redacted_lines(text: str) -> str:
    """Redact the JSON in each line of a stream, and search lines that are cut off as text."""
    lines = []
    for line in text.splitlines():
        head, separator, tail = line.partition("data: ")
        try:
            value = msgspec.json.decode(tail) if separator and not head else None
        except msgspec.DecodeError:
            value = None
        if value is None:
            lines.append(_SECRET_PAIR.sub(rf'\1"{_REDACTED}"', _SECRET_VALUE.sub(_REDACTED, line)))
        else:
            lines.append("data: " + msgspec.json.encode(_without_secrets(value)).decode())
    return "\n".join(lines)


_SECRET_PAIR = re.compile(rf'("(?:[^"\\]*(?:{_SECRET_KEY.pattern})[^"\\]*)"\s*:\s*)"(?:[^"\\]|\\.)*"?', re.IGNORECASE)


def _without_secrets(value: Any, depth: int = 0) -> Any:
    if depth > 64:
        return "…"
    if isinstance(value, dict):
        secret = {key for key, item in value.items() if isinstance(item, str) and _SECRET_KEY.search(key)}
        return {key: _REDACTED if key in secret else _without_secrets(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item, depth + 1) for item in value]
    if isinstance(value, str):
        more = len(value) - _MAX_STRING
        return _SECRET_VALUE.sub(_REDACTED, value[:_MAX_STRING]) + (f"[{more} more characters]" if more > 0 else "")
    return value
