"""Reads one complete piece of call markup with mlx-lm's parsers, and refuses what they understood only in part."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

__all__ = ["Parser", "careful", "harmony", "read_calls"]

Parser = Callable[[str, Sequence[Mapping[str, Any]]], Any]
"""From (text between the markers, tools in OpenAI's form) to a call, or a list of calls, each a dict with `name` and
`arguments`. Raises any exception if the text is not a call."""

_CALL_ID = re.compile(r"\[CALL_ID\][^\[]*(?=\[ARGS\])")
_BETWEEN_FUNCTIONS = re.compile(r"(?<=</function>)\s*(?=<function=)")
_HARMONY = re.compile(r"([\w-]+)[^{]*?(?:<\|message\|>|$)(.*)", re.DOTALL)


@attrs.frozen
class _Careful:
    """One of mlx-lm's parsers, with its silent errors refused or repaired."""

    name: str
    parser: Parser

    def __call__(self, body: str, tools: Sequence[Mapping[str, Any]]) -> Any:
        if self.name == "qwen3_coder":
            # The parser merges several functions between one pair of markers into one, with the parameters of all.
            return [self.parser(part.strip(), tools) for part in _BETWEEN_FUNCTIONS.split(body)]
        if self.name == "mistral":
            # The parser takes the id for the function's name.
            body = _CALL_ID.sub("", body)
        calls = _as_list(self.parser(body, tools))
        if self.name == "pythonic":
            _refuse(any(not call["arguments"] for call in calls) and re.search(r"\(\s*[^)\s]", body) is not None)
        if self.name in _ITEM:
            # The parser skips calls that it cannot read.
            _refuse(body.count(_ITEM[self.name]) != len(calls))
        return calls


_ITEM = {"kimi_k3": "<|open|>call ", "minimax_m2": "<invoke "}


def careful(name: str, parser: Parser) -> Parser:
    """mlx-lm's parser of this name, in the form that `read_calls` takes."""
    return _Careful(name, parser)


def _refuse(wrong: bool) -> None:
    if wrong:
        raise ValueError("understood only in part")


def _as_list(parsed: Any) -> list[Any]:
    return parsed if isinstance(parsed, list) else [parsed]


def harmony(body: str, tools: Sequence[Mapping[str, Any]]) -> Any:
    """Parser of `NAME<|channel|>commentary <|constrain|>json<|message|>{…}`, whatever the order of the header."""
    match = _HARMONY.fullmatch(body.strip())
    _refuse(match is None)
    assert match is not None
    return {"name": match[1], "arguments": json.loads(match[2] or "{}")}


def read_calls(body: str, parse: Parser, tools: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]] | None:
    """Every call in the markup as (name, arguments as a JSON object); None if it is anything but calls of these tools.

    `tools`: by name, in OpenAI's form.
    """
    if body.strip() in tools:
        return [(body.strip(), "{}")]
    try:
        calls = _as_list(parse(body, list(tools.values())))
        read = [(call["name"], _arguments(call.get("arguments"))) for call in calls]
    except Exception:
        # On unexpected text the parsers raise any exception: IndexError, AttributeError, RecursionError, …
        return None
    if not read or any(name not in tools for name, _ in read):
        return None
    return None if any(_is_leftover(json.loads(text), tools[name]) for name, text in read) else read


def _arguments(value: Any) -> str:
    """The arguments as a JSON object.

    Raises:
        ValueError, TypeError: they are not an object, or hold values that JSON does not have.
    """
    if value is None:
        return "{}"
    if isinstance(value, str):
        value = json.loads(value)
    _refuse(not isinstance(value, dict))
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False)
    return text


def _is_leftover(arguments: Mapping[str, Any], tool: Mapping[str, Any]) -> bool:
    """Whether the parser put text that it did not understand into an argument `raw` that the tool does not have."""
    properties = tool["function"].get("parameters", {}).get("properties", {})
    return set(arguments) == {"raw"} and "raw" not in properties
