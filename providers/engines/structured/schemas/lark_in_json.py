"""Lark grammars of a text, as grammars of the JSON object that has this text as its only member.

A custom tool's input is free text for the client, but the model writes it inside the JSON of a call. Each terminal
becomes a rule, since in JSON it may consist of several terminals (`class_in_json`). A grammar of a rule per terminal
accepts the same texts, except where Lark's lexer would have taken a longer terminal.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator

from providers.engines.structured.schemas.class_in_json import NotConvertible, expression, quoted_text

__all__ = ["NotConvertible", "object_of_text"]

_TOKEN = re.compile(
    r"""(?P<comment>(?://|\#)[^\n]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*"i?)
      | (?P<regex>/(?!/)(?:[^/\\\n]|\\.)+/[a-z]*)
      | (?P<arrow>->\s*\w+)
      | (?P<name>[?!]?[A-Za-z_]\w*)
      | (?P<space>\s+)
      | (?P<sign>\{\d+(?:,\d*)?\}|[:|()\[\]?*+])""",
    re.VERBOSE,
)
_IMPORT = re.compile(r"^[ \t]*%import\s+common\.(\w+|\([\w\s,]+\))(?:\s*->\s*(\w+))?[ \t]*(?://[^\n]*)?$", re.MULTILINE)
_COMMON = {
    "LF": r"\n",
    "CR": r"\r",
    "NEWLINE": r"(\r?\n)+",
    "WS": r"[ \t\f\r\n]+",
    "WS_INLINE": r"[ \t]+",
    "DIGIT": "[0-9]",
    "HEXDIGIT": "[a-fA-F0-9]",
    "INT": "[0-9]+",
    "SIGNED_INT": r"[+-]?[0-9]+",
    "DECIMAL": r"[0-9]+\.[0-9]*|\.[0-9]+",
    "FLOAT": r"([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+",
    "NUMBER": r"([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[0-9]+([eE][+-]?[0-9]+)?",
    "SIGNED_NUMBER": r"[+-]?(([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[0-9]+([eE][+-]?[0-9]+)?)",
    "LCASE_LETTER": "[a-z]",
    "UCASE_LETTER": "[A-Z]",
    "LETTER": "[A-Za-z]",
    "WORD": "[A-Za-z]+",
    "CNAME": "[_A-Za-z][_A-Za-z0-9]*",
    "ESCAPED_STRING": r'"([^"\\\n]|\\.)*"',
}
MAX_LENGTH = 64 * 1024


def object_of_text(grammar: str, member: str) -> str:
    """A grammar of `{"MEMBER": "…"}`, whose text has this grammar.

    Raises:
        NotConvertible: the grammar uses what has no form inside of JSON here.
    """
    if len(grammar) > MAX_LENGTH:
        raise NotConvertible(f"a grammar of more than {MAX_LENGTH} characters")
    imported = [rule for found in _IMPORT.finditer(grammar) for rule in _imports(found)]
    body = "".join(_converted(_IMPORT.sub("", grammar)))
    head = f'start: "{{" GAP? {json.dumps(json.dumps(member))} GAP? ":" GAP? "\\"" r_start "\\"" GAP? "}}"'
    return "\n".join([head, r"GAP: / |\n[ \t]{0,32}/", *imported, body])


def _imports(found: re.Match[str]) -> Iterator[str]:
    names = re.findall(r"\w+", found[1])
    for name in names:
        if name not in _COMMON:
            raise NotConvertible(f"%import common.{name}")
        yield f"{_rule(found[2] or name if len(names) == 1 else name)}: {expression(_COMMON[name], '')}"


def _converted(text: str) -> Iterator[str]:
    end = 0
    while end < len(text):
        found = _TOKEN.match(text, end)
        if found is None:
            raise NotConvertible(f"{text[end : end + 20]!r}")
        end = found.end()
        yield _token(str(found.lastgroup), found[0])


def _token(kind: str, text: str) -> str:
    match kind:
        case "string":
            return _string(text)
        case "regex":
            pattern, _, flags = text[1:].rpartition("/")
            inside = expression(pattern.replace("\\/", "/"), flags)
            return f"({inside})"
        case "name":
            return _rule(text.lstrip("?!"))
        case "space" | "sign":
            return text
    return ""  # Comments and aliases mean nothing to a recognizer.


def _string(text: str) -> str:
    flag = "i" if text.endswith("i") else ""
    try:
        value = ast.literal_eval(text.removesuffix("i"))
    except (SyntaxError, ValueError) as error:
        raise NotConvertible(f"{text!r}: {error}") from None
    written = quoted_text(value)
    if flag and json.loads(written) != value:
        raise NotConvertible(f"escapes in {text!r}")
    return f"{written}{flag}"


def _rule(name: str) -> str:
    """The name of the rule that a rule or terminal becomes."""
    return f"r_{name}" if name.islower() else f"t_{name.lower()}"
