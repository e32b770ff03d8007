"""Reading one finished piece of call markup with mlx-lm's parsers, and refusing what they only half understood."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

__all__ = ["Parser", "careful", "harmony", "read_calls"]

Parser = Callable[[str, Sequence[Mapping[str, Any]]], Any]
"""(what stood between the markers, tools as OpenAI describes them) to a call, or a list of calls, each a dict with
`name` and `arguments`. Raises whatever it likes at what is none."""

_CALL_ID = re.compile(r"\[CALL_ID\][^\[]*(?=\[ARGS\])")
_BETWEEN_FUNCTIONS = re.compile(r"(?<=</function>)\s*(?=<function=)")
_HARMONY = re.compile(r"([\w-]+)[^{]*?(?:<\|message\|>|$)(.*)", re.DOTALL)


@attrs.frozen
class _Careful:
    """One of mlx-lm's parsers, with what it would get wrong in silence refused or mended."""

    name: str
    parser: Parser

    def __call__(self, body: str, tools: Sequence[Mapping[str, Any]]) -> Any:
        if self.name == "qwen3_coder":
            # Several functions between one pair of markers would become one, with the parameters of all.
            return [self.parser(part.strip(), tools) for part in _BETWEEN_FUNCTIONS.split(body)]
        if self.name == "mistral":
            # Its id would be taken for the function's name.
            body = _CALL_ID.sub("", body)
        calls = _as_list(self.parser(body, tools))
        if self.name == "pythonic":
            _refuse(any(not call["arguments"] for call in calls) and re.search(r"\(\s*[^)\s]", body) is not None)
        if self.name in _ITEM:
            # Its parser passes over those that it cannot read.
            _refuse(body.count(_ITEM[self.name]) != len(calls))
        return calls


_ITEM = {"kimi_k3": "<|open|>call ", "minimax_m2": "<invoke "}


def careful(name: str, parser: Parser) -> Parser:
    """mlx-lm's parser of this name, as `read_calls` wants it."""
    return _Careful(name, parser)


def _refuse(wrong: bool) -> None:
    if wrong:
        raise ValueError("not understood in full")


def _as_list(parsed: Any) -> list[Any]:
    return parsed if isinstance(parsed, list) else [parsed]


def harmony(body: str, tools: Sequence[Mapping[str, Any]]) -> Any:
    """`NAME<|channel|>commentary <|constrain|>json<|message|>{…}`, in whichever order the header is."""
    match = _HARMONY.fullmatch(body.strip())
    _refuse(match is None)
    assert match is not None
    return {"name": match[1], "arguments": json.loads(match[2] or "{}")}


def read_calls(body: str, parse: Parser, tools: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]] | None:
    """Every call in the markup as (name, arguments as a JSON object), or None if it is not calls of these tools alone.

    `tools`: by name, as OpenAI describes them.
    """
    if body.strip() in tools:
        return [(body.strip(), "{}")]
    try:
        calls = _as_list(parse(body, list(tools.values())))
        read = [(call["name"], _arguments(call.get("arguments"))) for call in calls]
    except Exception:
        # They raise what the text makes them stumble over: IndexError, AttributeError, RecursionError, …
        return None
    if not read or any(name not in tools for name, _ in read):
        return None
    return None if any(_is_leftover(json.loads(text), tools[name]) for name, text in read) else read


def _arguments(value: Any) -> str:
    """A JSON object of these arguments.

    Raises:
        ValueError, TypeError: they are none, or hold what JSON does not.
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
    """Whether the parser put text that it did not understand into an argument `raw` of its own."""
    properties = tool["function"].get("parameters", {}).get("properties", {})
    return set(arguments) == {"raw"} and "raw" not in properties
