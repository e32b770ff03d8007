"""Constraints as text for llguidance, with every schema in the form that compiles."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from llguidance import LLMatcher, LLParserLimits

from providers.chat.types import ChoiceGrammar, Grammar, JsonSchemaGrammar, LarkGrammar, RegexGrammar, Tool
from providers.engines.structured import grammar_text as text
from providers.engines.structured.constraint import Calls, Constraint
from providers.engines.structured.schemas import schema as schemas
from providers.engines.structured.schemas.lark_in_json import NotConvertible, object_of_text
from providers.engines.structured.schemas.schema_forms import SchemaForm
from providers.engines.structured.token_table import TokenTable
from providers.errors import InvalidRequest

__all__ = ["MAX_SECONDS", "GrammarWriter", "WrittenGrammar", "compiled"]

logger = logging.getLogger(__name__)

MAX_REGEX = 32 * 1024
MAX_LARK = 64 * 1024
MAX_CHOICES = 4096
MAX_CHOICE_CHARACTERS = 256 * 1024
MAX_TOOLS = 1024
"""A grammar of 142 tools compiles in 0.2 s, and one of 500 in 0.7 s."""
MAX_GIVEN_UP = 256
MAX_SECONDS = 8.0
"""Of processor time, for one schema that is not strict. Beyond one of the two, only its type is held. Faults are
found one by one, each with several compilations."""


class WrittenGrammar(msgspec.Struct, frozen=True):
    """A constraint as text for llguidance, which has compiled."""

    source: str
    param: str
    tools: int
    """Count of the schemas in it."""
    given_up: list[str]
    """Paths of the request's keywords that it does not hold; none in what is strict."""


def _limits(tools: int = 0) -> LLParserLimits:
    """`tools`: count of the schemas in one grammar, each of which has passed by itself."""
    return LLParserLimits(
        # With pathological regular expressions, building a lexer takes about a tenth of a second, not seconds.
        initial_lexer_fuel=200_000 + 2_000 * tools,
        # An object has four items in one row per optional property.
        max_items_in_row=4 * schemas.MAX_OPTIONAL + 100,
        # Verbose messages quote the parser's state and the client's text, which would reach the logs.
        verbose_errors=False,
    )


def compiled(table: TokenTable, grammar: WrittenGrammar) -> LLMatcher:
    """Compile and take the first step, which builds the lexers, finds that a grammar cannot be satisfied, and applies
    the limits to pathological ones. The GIL is free meanwhile.

    Raises:
        InvalidRequest: the grammar is invalid, too complex, or satisfied by no text.
    """
    matcher = LLMatcher(table.llg, grammar.source, log_level=0, limits=_limits(grammar.tools))
    if not matcher.is_error():
        matcher.compute_bitmask()
    if matcher.is_error() or (matcher.is_stopped() and not matcher.is_accepting()):
        raise InvalidRequest(_refusal(matcher), param=grammar.param)
    return matcher


class GrammarWriter:
    """Finds the form in which a constraint compiles. That takes one compilation, or many."""

    def __init__(self, table: TokenTable, seconds: float = MAX_SECONDS) -> None:
        """`seconds`: of processor time, for one schema that is not strict. Beyond them, only its type is held."""
        self._table = table
        self._seconds = seconds

    def write(self, constraint: Constraint) -> tuple[WrittenGrammar, LLMatcher]:
        """The constraint as text, and compiled.

        Raises:
            InvalidRequest: as `GrammarCompiler.compile`.
        """
        try:
            return self._write(constraint, plain_calls=False)
        except InvalidRequest:
            calls = constraint.calls
            if calls is None or all(tool.strict for tool in calls.tools):
                raise
            return self._write(constraint, plain_calls=True)

    def _write(self, constraint: Constraint, *, plain_calls: bool) -> tuple[WrittenGrammar, LLMatcher]:
        """`plain_calls`: calls of functions that are not strict may have any arguments."""
        sources = []
        given_up: list[str] = []
        if constraint.answer is not None:
            answer = self._held(constraint.answer, constraint.param, given_up)
            source = _source(answer, constraint.param)
            # By itself first: an error in the whole grammar would mention text that the client did not write.
            alone = self._compiled(source, constraint, given_up)
            if constraint.calls is None and constraint.thought is None:
                return alone
            sources.append(source)
        if constraint.calls is not None:
            arguments = self._arguments(constraint.calls, given_up, plain=plain_calls)
            sources.append(self._calls_text(constraint.calls, arguments, free_text=constraint.answer is None))
        source = text.answer_or_calls(*sources) if len(sources) == 2 else sources[0]
        if constraint.thought is not None:
            source = text.after_thought(source, constraint.thought, self._table.markers)
        return self._compiled(source, constraint, given_up)

    def _compiled(
        self, source: str, constraint: Constraint, given_up: Sequence[str]
    ) -> tuple[WrittenGrammar, LLMatcher]:
        tools = 0 if constraint.calls is None else len(constraint.calls.tools)
        grammar = WrittenGrammar(source, constraint.param, tools, list(given_up))
        return grammar, compiled(self._table, grammar)

    def _arguments(self, calls: Calls, given_up: list[str], *, plain: bool) -> dict[str, dict[str, Any] | str]:
        """The schemas or Lark grammars of the arguments, by function name."""
        if len(calls.tools) > MAX_TOOLS:
            raise InvalidRequest(f"at most {MAX_TOOLS} tools can be called, not {len(calls.tools)}", param="tools")
        arguments: dict[str, dict[str, Any] | str] = {}
        for index, tool in enumerate(calls.tools):
            if calls.choice.name in (None, tool.name):
                place = f"tools[{index}].function.parameters"
                arguments[tool.name] = self._tool_arguments(tool, place, given_up, plain=plain)
        return arguments

    def _tool_arguments(self, tool: Tool, place: str, given_up: list[str], *, plain: bool) -> dict[str, Any] | str:
        if tool.lark is not None:
            try:
                return object_of_text(tool.lark, _only_argument(tool))
            except NotConvertible as error:
                raise InvalidRequest(f"not a grammar of an argument: {error}", param=place) from None
        if tool.strict:
            return self._held_schema(_arguments_schema(tool, place), place, given_up, strict=True)
        lost: list[str] = []
        try:
            if not plain:
                schema = self._held_schema(_arguments_schema(tool, place), place, lost, strict=False)
                given_up += lost
                return schema
        except InvalidRequest as error:
            logger.debug("%s: %s", place, error)
        given_up.append(place)
        return {"type": "object"}

    def _calls_text(self, calls: Calls, arguments: dict[str, dict[str, Any] | str], *, free_text: bool) -> str:
        """`free_text`: other text may stand around calls that are not required."""
        choice, markup = calls.choice, calls.markup
        if not calls.tools:
            return text.free_call(markup.begin, self._table.markers)
        if not arguments:
            raise InvalidRequest(f"tool_choice: there is no tool named {choice.name!r}", param="tool_choice")
        free_text = free_text and choice.mode != "required"
        return text.tool_calls(arguments, markup, self._table.markers, free_text=free_text, parallel=choice.parallel)

    def _held(self, grammar: Grammar, param: str, given_up: list[str]) -> Grammar:
        """The grammar in the form that is compiled."""
        if not isinstance(grammar, JsonSchemaGrammar):
            _check_text(grammar, param)
        elif isinstance(grammar.schema, dict):
            schema = self._held_schema(grammar.schema, param, given_up, strict=grammar.strict)
            return JsonSchemaGrammar(schema, strict=grammar.strict)
        elif not grammar.schema:
            raise InvalidRequest("JSON schema: no value satisfies the schema `false`", param=param)
        return grammar

    def _held_schema(self, schema: dict[str, Any], param: str, given_up: list[str], *, strict: bool) -> dict[str, Any]:
        """The schema in the form that is compiled. If it is not `strict`, that may lack what cannot be held.

        Raises:
            InvalidRequest: it cannot be held, or not enough of it.
        """
        fault = schemas.check(schema)
        if fault is not None and fault.keyword is None:
            raise _schema_refusal(fault, fault.path, param)
        form = self._rewritten(schema, strict=strict)
        if form is not None:
            given_up += [schemas.place(param, path) for path in form.given_up]
            return form.schema
        form = SchemaForm.of(schema)
        if not strict:
            form.give_up_unheld(self._refuses, rewrites=False)
        until = time.thread_time() + self._seconds
        while (fault := self._fault(form)) is not None:
            if form.simplify(fault):
                continue
            if strict or not form.give_up(fault):
                raise _schema_refusal(fault, form.path(fault.path), param)
            if time.thread_time() > until or len(form.given_up) > MAX_GIVEN_UP:
                form.give_up_rest()
        given_up += [schemas.place(param, path) for path in form.given_up]
        return form.schema

    def _rewritten(self, schema: dict[str, Any], *, strict: bool) -> SchemaForm | None:
        """The schema with other keywords in the place of those that llguidance refuses, if that suffices."""
        form = SchemaForm.of(schema)
        if not strict:
            form.give_up_unheld(self._refuses, rewrites=True)
        if form.rewrite() and schemas.check(form.schema) is None and not self._schema_error(form.schema):
            return form
        return None

    def _fault(self, form: SchemaForm) -> schemas.Fault | None:
        """The first fault of the form as it is."""
        fault = schemas.check(form.schema)
        if fault is not None:
            return fault
        error = self._schema_error(form.schema)
        return schemas.explain(form.schema, error, self._schema_error) if error else None

    def _refuses(self, pattern: str) -> bool:
        return bool(self._schema_error({"type": "string", "pattern": pattern}))

    def _schema_error(self, schema: dict[str, Any]) -> str:
        try:
            source = text.schema_text(schema)
        except ValueError as error:
            return str(error)
        _, messages = LLMatcher.validate_grammar_with_warnings(source, self._table.llg, limits=_limits())
        # The same error must give the same text whichever references lead to it.
        return messages[0].split("\n  while processing")[0] if messages else ""


def _source(grammar: Grammar, param: str) -> str:
    try:
        return text.source(grammar)
    except text.NotGbnf as error:
        raise InvalidRequest(f"not a grammar in GBNF: {error}", param=param) from None


def _check_text(grammar: Grammar, param: str) -> None:
    if isinstance(grammar, RegexGrammar):
        if len(grammar.pattern) > MAX_REGEX:
            raise InvalidRequest(f"the regular expression is longer than {MAX_REGEX} characters", param=param)
        if (len(grammar.pattern) - len(grammar.pattern.rstrip("\\"))) % 2:
            raise InvalidRequest("the regular expression ends in a lone backslash", param=param)
    elif isinstance(grammar, LarkGrammar) and len(grammar.grammar) > MAX_LARK:
        raise InvalidRequest(f"the grammar is longer than {MAX_LARK} characters", param=param)
    elif isinstance(grammar, ChoiceGrammar):
        if not grammar.choices:
            raise InvalidRequest("there must be at least one choice", param=param)
        if len(grammar.choices) > MAX_CHOICES or sum(map(len, grammar.choices)) > MAX_CHOICE_CHARACTERS:
            raise InvalidRequest(f"there are more than {MAX_CHOICES} choices, or they are too long", param=param)


def _schema_refusal(fault: schemas.Fault, path: schemas.Path, param: str) -> InvalidRequest:
    """`path`: of the fault, in the client's schema."""
    where = f"{fault.keyword}: " if fault.keyword and fault.keyword not in fault.message else ""
    path += (fault.keyword,) if fault.keyword else ()
    return InvalidRequest(f"JSON schema: {where}{fault.message}", param=schemas.place(param, path))


def _only_argument(tool: Tool) -> str:
    """The name of the only argument of a function."""
    (name,) = (tool.parameters or {}).get("properties", {})
    return str(name)


def _arguments_schema(tool: Tool, param: str) -> dict[str, Any]:
    """The schema of a function's arguments, which are an object; without `parameters` there are none."""
    if tool.parameters is None:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    kind = tool.parameters.get("type", "object")
    if kind != "object" and not (isinstance(kind, list) and "object" in kind):
        raise InvalidRequest(f"arguments must be an object, not {kind!r}", param=f"{param}.type")
    return {"type": "object", **tool.parameters, **({} if kind == "object" else {"type": "object"})}


def _refusal(matcher: LLMatcher) -> str:
    error = matcher.get_error()
    if "NoExtension" in error or not error:
        return "no text satisfies the grammar"
    return f"invalid or too complex: {schemas.readable(error.replace('<non-verbose/>', ''))}"
