"""Constraints compiled with llguidance.

`GrammarCompiler` works on the intake thread and touches no arrays; the `GrammarProcessor` of each answer works on
the MLX thread. A compiled grammar is cached; every answer starts from a copy.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import attrs
import msgspec
from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from providers.chat.types import (
    ChatPrompt,
    ChoiceGrammar,
    Grammar,
    JsonSchemaGrammar,
    LarkGrammar,
    Prompt,
    RegexGrammar,
    Tool,
    ToolChoice,
)
from providers.engines.structured import grammar_text as text
from providers.engines.structured import schema as schemas
from providers.engines.structured.constraint import Calls, Constraint, ToolMarkup
from providers.engines.structured.lark_in_json import NotConvertible, object_of_text
from providers.engines.structured.processor import GrammarProcessor
from providers.engines.structured.schema_forms import SchemaForm
from providers.errors import InvalidRequest, ServiceError, UnsupportedParameter

__all__ = ["CompiledGrammar", "GrammarCompiler"]

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
KEPT = 32
"""Compiled grammars in the cache: a few hundred kB each as a rule, about ten MB at the limits above."""


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


@attrs.frozen(kw_only=True, eq=False)
class CompiledGrammar:
    """A compiled constraint, from which processors are made; threads may share it."""

    param: str
    """Path of the request's field behind it, for errors."""
    vocabulary: int
    ends: tuple[int, ...]
    start_after: tuple[int, ...] | None
    """Ids after which it starts; None: immediately."""
    given_up: tuple[str, ...]
    """Paths of the request's keywords that it does not hold; none in what is strict."""
    _start: LLMatcher

    def processor(self) -> GrammarProcessor:
        """The processor of one answer; takes about 50 µs to make."""
        return GrammarProcessor(
            self._start.deep_copy(), vocabulary=self.vocabulary, ends=self.ends, start_after=self.start_after
        )

    def failed(self, processor: GrammarProcessor) -> InvalidRequest | None:
        """The error to report if the processor forced the end."""
        return None if processor.failure is None else InvalidRequest(processor.failure, param=self.param)


class GrammarCompiler:
    """Compiles constraints for one model's tokenizer. The first use builds the tokenizer's table (about 0.5 s)."""

    def __init__(self, tokenizer: Any, n_vocab: int, eos_token_ids: Sequence[int]) -> None:
        """`tokenizer`: mlx-lm's `TokenizerWrapper` or a fast Hugging Face tokenizer. `n_vocab`: count of usable ids,
        those that both the tokenizer and the logits have."""
        self._tokenizer = tokenizer
        self._n_vocab = n_vocab
        self._ends = tuple(sorted({end for end in eos_token_ids if 0 <= end < n_vocab}))
        self._lock = threading.Lock()
        self._table: LLTokenizer | None = None
        self._markers: text.Markers | None = None
        self._kept: OrderedDict[bytes, CompiledGrammar] = OrderedDict()

    def compile(self, constraint: Constraint) -> CompiledGrammar:
        """Compile, or take from the cache.

        Raises:
            InvalidRequest: a grammar or schema is invalid, too large, satisfied by no text, or uses what llguidance
                does not support. The message names the schema's keyword, and `param` leads to it, starting with
                `constraint.param` or with the tool's own path.
            UnsupportedParameter: this model's tokenizer does not allow constraints.
        """
        key = _key(constraint)
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                kept = self._kept[key] = self._compile(constraint)
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return kept

    def with_held_grammars(self, prompt: Prompt) -> tuple[Prompt, tuple[str, ...]]:
        """The prompt without the grammars of tools that cannot be held inside of a call, and their paths."""
        if not isinstance(prompt, ChatPrompt) or prompt.tool_choice.mode == "none":
            return prompt, ()
        lost = [index for index, tool in enumerate(prompt.tools) if tool.lark is not None and not self._holds(tool)]
        tools = [
            msgspec.structs.replace(tool, lark=None, strict=False) if index in lost else tool
            for index, tool in enumerate(prompt.tools)
        ]
        paths = tuple(f"tools[{index}].function.lark" for index in lost)
        return (msgspec.structs.replace(prompt, tools=tools) if lost else prompt), paths

    def _holds(self, tool: Tool) -> bool:
        calls = Calls(markup=ToolMarkup(begin="<", end=">"), tools=(tool,), choice=ToolChoice(mode="required"))
        try:
            self.compile(Constraint(param="tools", calls=calls))
        except (ServiceError, NotConvertible) as error:
            logger.info("a tool's grammar is not held: %s", error)
            return False
        return True

    # ── grammars ────────────────────────────────────────────────────────────────────────────────────────────────

    def _compile(self, constraint: Constraint) -> CompiledGrammar:
        try:
            return self._compile_with(constraint, plain_calls=False)
        except InvalidRequest:
            calls = constraint.calls
            if calls is None or all(tool.strict for tool in calls.tools):
                raise
            return self._compile_with(constraint, plain_calls=True)

    def _compile_with(self, constraint: Constraint, *, plain_calls: bool) -> CompiledGrammar:
        """`plain_calls`: calls of functions that are not strict may have any arguments."""
        sources = []
        given_up: list[str] = []
        if constraint.answer is not None:
            answer = self._held(constraint.answer, constraint.param, given_up)
            source = _source(answer, constraint.param)
            # By itself first: an error in the whole grammar would mention text that the client did not write.
            compiled = self._matcher(source, constraint, given_up)
            if constraint.calls is None and constraint.thought is None:
                return compiled
            sources.append(source)
        if constraint.calls is not None:
            arguments = self._arguments(constraint.calls, given_up, plain=plain_calls)
            sources.append(self._calls_text(constraint.calls, arguments, free_text=constraint.answer is None))
        source = text.answer_or_calls(*sources) if len(sources) == 2 else sources[0]
        if constraint.thought is not None:
            source = text.after_thought(source, constraint.thought, self._marks())
        return self._matcher(source, constraint, given_up)

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
            return object_of_text(tool.lark, _only_argument(tool))
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
            return text.free_call(markup.begin, self._marks())
        if not arguments:
            raise InvalidRequest(f"tool_choice: there is no tool named {choice.name!r}", param="tool_choice")
        free_text = free_text and choice.mode != "required"
        return text.tool_calls(arguments, markup, self._marks(), free_text=free_text, parallel=choice.parallel)

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
        until = time.thread_time() + MAX_SECONDS
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
        _, messages = LLMatcher.validate_grammar_with_warnings(source, self._llg(), limits=_limits())
        # The same error must give the same text whichever references lead to it.
        return messages[0].split("\n  while processing")[0] if messages else ""

    def _matcher(self, source: str, constraint: Constraint, given_up: Sequence[str]) -> CompiledGrammar:
        """Compile and take the first step, which builds the lexers, finds that a grammar cannot be satisfied, and
        applies the limits to pathological ones."""
        table = self._llg()
        tools = 0 if constraint.calls is None else len(constraint.calls.tools)
        matcher = LLMatcher(table, source, log_level=0, limits=_limits(tools))
        if not matcher.is_error():
            matcher.compute_bitmask()
        if matcher.is_error() or (matcher.is_stopped() and not matcher.is_accepting()):
            raise InvalidRequest(_refusal(matcher), param=constraint.param)
        start_after = None if constraint.start_after is None else self._ids(constraint.start_after)
        return CompiledGrammar(
            param=constraint.param,
            vocabulary=table.vocab_size,
            ends=self._ends,
            start_after=start_after,
            given_up=tuple(given_up),
            start=matcher,
        )

    # ── tokenizer ───────────────────────────────────────────────────────────────────────────────────────────

    def _llg(self) -> LLTokenizer:
        if self._table is None:
            self._build()
        assert self._table is not None
        return self._table

    def _marks(self) -> text.Markers:
        if self._markers is None:
            self._build()
        assert self._markers is not None
        return self._markers

    def _ids(self, marker: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.backend_tokenizer.encode(marker, add_special_tokens=False).ids)

    def _build(self) -> None:
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None or not self._ends:
            raise UnsupportedParameter("this model's tokenizer does not allow constrained output")
        described = json.loads(backend.to_str())
        # Padding and truncation are settings of the last request, not part of the vocabulary.
        described["padding"] = described["truncation"] = None
        size = max(self._n_vocab, backend.get_vocab_size(with_added_tokens=True))
        size = max(size, max(backend.get_vocab(with_added_tokens=True).values(), default=0) + 1)
        try:
            table = LLTokenizer(json.dumps(described), n_vocab=size, eos_token=list(self._ends))
        except ValueError as error:
            logger.warning("the tokenizer does not allow constrained output: %s", error)
            raise UnsupportedParameter("this model's tokenizer does not allow constrained output") from error
        added = backend.get_added_tokens_decoder()
        special = {token.content: id for id, token in added.items() if table.is_special_token(id)}
        self._table, self._markers = table, text.Markers(special)


def _key(constraint: Constraint) -> bytes:
    try:
        return msgspec.json.encode(constraint)
    except (UnicodeEncodeError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidRequest(f"the grammar is not text: {error}", param=constraint.param) from error


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
