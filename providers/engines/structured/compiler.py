"""Constraints compiled with llguidance.

`GrammarCompiler` touches no arrays; the `GrammarProcessor` of each answer works on the MLX thread. A compiled grammar
is cached; every answer starts from a copy.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import attrs
import msgspec
from llguidance import LLMatcher

from providers.bounded_cache import BoundedCache
from providers.chat.types import ChatPrompt, Prompt, Tool, ToolChoice
from providers.engines.structured.constraint import Calls, Constraint, ToolMarkup
from providers.engines.structured.processor import GrammarProcessor
from providers.engines.structured.token_table import TokenTable, describe
from providers.engines.structured.writer import MAX_SECONDS, GrammarWriter, WrittenGrammar, compiled
from providers.engines.structured.writing import WritingProcesses
from providers.errors import InvalidRequest, ServiceError

__all__ = ["CompiledGrammar", "GrammarCompiler", "GrammarTime", "NotCompiled"]

logger = logging.getLogger(__name__)

KEPT_BYTES = 256 << 20
"""Bound on the compiled grammars in the cache, as their `nbytes` count them."""
_PER_CHARACTER = 600
_PER_GRAMMAR = 64 << 10
"""Bytes of memory that a compiled grammar takes; llguidance does not report them. Measured per character of its text:
30 (choices), 62 (an object of ten properties), 231 (objects of a thousand), 537 (a long constant), 570 (a long regular
expression)."""


class NotCompiled(Exception):
    """A grammar is not in the cache, and the caller does not wait for its compilation."""


@attrs.define
class GrammarTime:
    """Seconds that the grammars of one request may take to compile, in all. None: no limit."""

    left: float | None


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
    nbytes: int
    """An estimate."""
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
    """Compiles constraints for one model's tokenizer, and keeps the results. Threads may share it.

    With a limit of time, another process finds the form in which a grammar compiles, because llguidance cannot be
    interrupted: a schema of 30 kB (500 values of `multipleOf`) takes it minutes and gigabytes. Only what has compiled
    there within the limit is compiled here.
    """

    def __init__(
        self,
        tokenizer: Any,
        n_vocab: int,
        eos_token_ids: Sequence[int],
        *,
        seconds: float | None = None,
        tokenizing: threading.Lock | None = None,
    ) -> None:
        """`tokenizer`: mlx-lm's `TokenizerWrapper` or a fast Hugging Face tokenizer. `n_vocab`: count of usable ids,
        those that both the tokenizer and the logits have. `seconds`: limit for one request's grammars; None: there is
        none, and no other process. `tokenizing`: held while the tokenizer is used, which only one thread may.
        """
        self._tokenizer = tokenizer
        self._n_vocab = n_vocab
        self._ends = tuple(sorted({end for end in eos_token_ids if 0 <= end < n_vocab}))
        self._tokenizing = tokenizing or threading.Lock()
        self._seconds = seconds
        self._lock = threading.Lock()
        self._table: TokenTable | None = None
        self._processes: WritingProcesses | None = None
        self._kept: BoundedCache[bytes, CompiledGrammar] = BoundedCache(KEPT_BYTES)

    def time(self) -> GrammarTime:
        """The time that one request has."""
        return GrammarTime(self._seconds)

    def compile(
        self, constraint: Constraint, time: GrammarTime | None = None, *, may_wait: bool = True
    ) -> CompiledGrammar:
        """Compile, or take from the cache.

        Raises:
            InvalidRequest: a grammar or schema is invalid, too large, satisfied by no text, uses what llguidance
                does not support, or takes longer than `time`. The message names the schema's keyword, and `param`
                leads to it, starting with `constraint.param` or with the tool's own path.
            UnsupportedParameter: this model's tokenizer does not allow constraints.
            NotCompiled: it is not in the cache, and the caller may not wait.
        """
        key = _key(constraint)
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None:
            return kept
        if not may_wait:
            raise NotCompiled
        made = self._compile(constraint, key, time or self.time())
        with self._lock:
            self._kept.put(key, made, made.nbytes)
        return made

    def with_held_grammars(
        self, prompt: Prompt, time: GrammarTime | None = None, *, may_wait: bool = True
    ) -> tuple[Prompt, tuple[str, ...]]:
        """The prompt without the grammars of tools that cannot be held inside of a call, and their paths. Raises the
        errors of `compile` about time."""
        if not isinstance(prompt, ChatPrompt) or prompt.tool_choice.mode == "none":
            return prompt, ()
        time = time or self.time()
        lost = [
            index
            for index, tool in enumerate(prompt.tools)
            if tool.lark is not None and not self._holds(tool, time, may_wait)
        ]
        tools = [
            msgspec.structs.replace(tool, lark=None, strict=False) if index in lost else tool
            for index, tool in enumerate(prompt.tools)
        ]
        paths = tuple(f"tools[{index}].function.lark" for index in lost)
        return (msgspec.structs.replace(prompt, tools=tools) if lost else prompt), paths

    def _holds(self, tool: Tool, time: GrammarTime, may_wait: bool) -> bool:
        calls = Calls(markup=ToolMarkup(begin="<", end=">"), tools=(tool,), choice=ToolChoice(mode="required"))
        try:
            self.compile(Constraint(param="tools", calls=calls), time, may_wait=may_wait)
        except ServiceError as error:
            if time.left is not None and time.left <= 0:
                raise
            logger.info("a tool's grammar is not held: %s", error)
            return False
        return True

    def _compile(self, constraint: Constraint, key: bytes, allowed: GrammarTime) -> CompiledGrammar:
        table = self._described()
        if allowed.left is None:
            grammar, matcher = GrammarWriter(table).write(constraint)
        else:
            _ = table.llg  # Built before the time runs.
            grammar = self._written(constraint.param, key, allowed)
            matcher = compiled(table, grammar)
        start_after = None if constraint.start_after is None else self._ids(constraint.start_after)
        return CompiledGrammar(
            param=constraint.param,
            vocabulary=table.llg.vocab_size,
            ends=self._ends,
            start_after=start_after,
            given_up=tuple(grammar.given_up),
            nbytes=_PER_GRAMMAR + _PER_CHARACTER * len(grammar.source) + len(key),
            start=matcher,
        )

    def _written(self, param: str, key: bytes, allowed: GrammarTime) -> WrittenGrammar:
        assert self._processes is not None
        assert allowed.left is not None
        with self._processes.borrowed() as process:
            began = time.monotonic()
            try:
                return process.write(key, allowed.left, param, self._seconds or 0.0)
            finally:
                allowed.left -= time.monotonic() - began

    def _described(self) -> TokenTable:
        with self._lock:
            if self._table is None:
                with self._tokenizing:
                    self._table = describe(self._tokenizer, self._n_vocab, self._ends)
                if self._seconds is not None:
                    self._processes = WritingProcesses(self._table, min(MAX_SECONDS, self._seconds / 2))
            return self._table

    def _ids(self, marker: str) -> tuple[int, ...]:
        with self._tokenizing:
            return tuple(self._tokenizer.backend_tokenizer.encode(marker, add_special_tokens=False).ids)


def _key(constraint: Constraint) -> bytes:
    try:
        return msgspec.json.encode(constraint)
    except (UnicodeEncodeError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidRequest(f"the grammar is not text: {error}", param=constraint.param) from error
