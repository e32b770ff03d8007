"""Grammar text for llguidance: literals, choices, thinking before an answer, and tool calls in a model's markup.

Everything here is text to text. A composed grammar is llguidance's JSON list of grammars, whose first is Lark and
refers to the others by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from llguidance import LLMatcher
from llguidance.gbnf_to_lark import gbnf_to_lark

from providers.chat.types import ChoiceGrammar, Grammar, JsonObjectGrammar, JsonSchemaGrammar, RegexGrammar
from providers.engines.structured.constraint import Thought, ToolMarkup

__all__ = [
    "JSON_OPTIONS",
    "Markers",
    "after_thought",
    "answer_or_calls",
    "choice_text",
    "free_call",
    "schema_text",
    "source",
    "tool_calls",
]

JSON_OPTIONS = {
    # Between two tokens of JSON, one space, or a line break and an indentation, as models write it. If any white
    # space were allowed, a small model at a high temperature would write line breaks until its tokens run out; if
    # none were, a model that begins a new line after `[` would end the array there.
    "whitespace_flexible": True,
    "whitespace_pattern": r" |\n[ \t]{0,32}",
    # A schema is followed completely or refused.
    "coerce_one_of": False,
    "lenient": False,
}
_CONTROL = re.compile("[\x7f-\x9f\u2028\u2029]")
_ANY = r"(.|\n)*"
_MAX_PARALLEL_CALLS = 16


class Markers:
    """Writes markers as Lark. Added tokens have no text that a lexeme could match, so their ids are used."""

    def __init__(self, added: Mapping[str, int]) -> None:
        """`added`: ids of the added tokens, by their text."""
        self._added = added
        longest_first = sorted(filter(None, added), key=len, reverse=True)
        self._split = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def literal(self, text: str) -> str:
        """An expression of exactly this text; empty for no text."""
        return self._join(self._pieces(text))

    def until(self, text: str, *, name: str) -> tuple[str, list[str]]:
        """(expression, rules): any text up to and including the first `text`, and the rules that this needs. The
        rule `NAME` is any text without it.

        A marker that is a token cannot be spelled with other tokens, so text and ids agree on its position. The last
        token of any other marker may extend past its end, where the text that follows allows it.
        """
        first, *rest = self._pieces(text)
        spelled = _pattern(text if isinstance(first, int) else first)
        without = f"{name.upper()}: /{_ANY}/ & ~/{_ANY}{spelled}{_ANY}/"
        if isinstance(first, int):
            return f"{name.upper()} {self._join([first, *rest])}", [without]
        return f"{name} {self._join(rest)}", [without, f"{name}[lazy]: /{_ANY}{spelled}/"]

    @staticmethod
    def _join(pieces: Sequence[str | int]) -> str:
        return " ".join(f"<[{piece}]>" if isinstance(piece, int) else quoted(piece) for piece in pieces)

    def _pieces(self, text: str) -> list[str | int]:
        if self._split is None:
            return [text] if text else []
        pieces: list[str | int] = []
        end = 0
        for match in self._split.finditer(text):
            pieces += [text[end : match.start()]] if match.start() > end else []
            pieces.append(self._added[match.group()])
            end = match.end()
        return pieces + ([text[end:]] if end < len(text) else [])


class NotGbnf(Exception):
    """A grammar looks like llama.cpp's GBNF and is invalid."""


_GBNF_RULE = re.compile(r"^\s*[\w-]+\s*::=", re.MULTILINE)


def source(grammar: Grammar) -> str:
    """llguidance's form of one grammar. Schemas have been checked: they hold no unpaired surrogate and no NaN.

    Raises:
        ValueError: the schema is not JSON that llguidance reads.
        NotGbnf: the grammar is in llama.cpp's form and invalid.
    """
    if isinstance(grammar, JsonObjectGrammar):
        return schema_text({"type": "object"})
    if isinstance(grammar, JsonSchemaGrammar):
        return schema_text(grammar.schema)
    if isinstance(grammar, RegexGrammar):
        return LLMatcher.grammar_from_regex(grammar.pattern)
    text = choice_text(grammar.choices) if isinstance(grammar, ChoiceGrammar) else lark_text(grammar.grammar)
    return _list([_lark("answer", text)])


def lark_text(text: str) -> str:
    """Lark as it is, and llama.cpp's GBNF as Lark.

    Raises:
        NotGbnf: the text is neither.
    """
    if not _GBNF_RULE.search(text):
        return text
    try:
        return gbnf_to_lark(text)
    except Exception as error:  # the parser raises it as such
        raise NotGbnf(str(error)) from None


def schema_text(schema: dict[str, Any] | bool) -> str:
    whole: dict[str, Any] = ({} if schema else {"enum": []}) if isinstance(schema, bool) else schema
    # `x-guidance` would set llguidance's own options.
    clean = {key: value for key, value in whole.items() if key != "x-guidance"}
    return _list([{"name": "answer", "json_schema": {**clean, "x-guidance": JSON_OPTIONS}}])


def choice_text(choices: Sequence[str]) -> str:
    return "start: " + " | ".join(quoted(choice) for choice in dict.fromkeys(choices))


def after_thought(answer: str, thought: Thought, markers: Markers) -> str:
    """The grammar `answer` after a thought."""
    thinking, rules = markers.until(thought.end, name="thought")
    thinking += " BREAKS?"
    if not thought.is_open:
        thinking = f"({markers.literal(thought.start)} {thinking})?"
    main = "\n".join([f"start: {thinking} @answer", r"BREAKS: /\n{1,2}/", *rules])
    grammars = json.loads(answer)["grammars"]
    grammars[0]["name"] = "answer"
    return _list([_lark("main", main), *grammars])


def answer_or_calls(answer: str, calls: str) -> str:
    """The grammar `answer`, or the grammar `calls`."""
    either = _lark("either", "start: @text | @called")
    text, called = json.loads(answer)["grammars"], json.loads(calls)["grammars"]
    text[0]["name"], called[0]["name"] = "text", "called"
    return _list([either, *text, *called])


def free_call(begin: str, markers: Markers) -> str:
    """Any text after the beginning of a call."""
    return _list([_lark("calls", f"start: {markers.literal(begin)} <[*]>*")])


def tool_calls(
    schemas: Mapping[str, dict[str, Any] | str],
    markup: ToolMarkup,
    markers: Markers,
    *,
    free_text: bool,
    parallel: bool,
) -> str:
    """Calls of these functions, and nothing else; with `free_text`, any text around them or instead of them.

    `schemas`: of the arguments, by function name: a JSON schema, or a grammar in Lark.
    """
    rules = []
    for number, name in enumerate(schemas):
        head = f"{{{json.dumps(markup.name_key)}: {json.dumps(name, ensure_ascii=False)}, "
        head += f"{json.dumps(markup.arguments_key)}: "
        rules.append(f'body_{number}: {quoted(head)} @arguments_{number} "}}"')
    body = " | ".join(f"body_{number}" for number in range(len(schemas)))
    if free_text:
        # The prompt did not ask for a call in this form, so white space around the body is up to the model.
        begin, needed = markers.until(markup.begin.strip(), name="free")
        end = markers.literal(markup.end.strip())
        rules += [*needed, r"GAP: /[ \n]{1,2}/", f"call: {begin} GAP? ({body}) {'GAP?' if end else ''} {end}"]
        rules.append(f"start: {'call*' if parallel else 'call?'} FREE")
    else:
        rules.append(f"call: {markers.literal(markup.begin)} ({body}) {markers.literal(markup.end)}")
        more = f"({markers.literal(markup.separator)} call){{0,{_MAX_PARALLEL_CALLS - 1}}}" if parallel else ""
        rules.append(f"start: {markers.literal(markup.opening)} call {more} {markers.literal(markup.closing)}")
    arguments = [_arguments(f"arguments_{number}", schema) for number, schema in enumerate(schemas.values())]
    return _list([_lark("calls", "\n".join(rules)), *arguments])


def _arguments(name: str, schema: dict[str, Any] | str) -> dict[str, Any]:
    if isinstance(schema, str):
        return _lark(name, schema)
    return {"name": name, "json_schema": {**schema, "x-guidance": JSON_OPTIONS}}


def quoted(text: str) -> str:
    """A Lark string literal. Its escapes are JSON's, but Lark's lexer refuses control characters, U+007F included."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", json.dumps(text, ensure_ascii=False))


def _pattern(text: str) -> str:
    """A regular expression that matches exactly this text, to be put between Lark's slashes."""
    return "".join(f"\\x{{{ord(char):x}}}" if not char.isalnum() or not char.isascii() else char for char in text)


def _lark(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "lark_grammar": text}


def _list(grammars: list[dict[str, Any]]) -> str:
    return json.dumps({"grammars": grammars}, ensure_ascii=False, allow_nan=False)
