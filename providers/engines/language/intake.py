"""From a request to a job: all checks, and all work that needs no arrays. On the intake thread, as far as that is
quick."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import msgspec

from providers.chat.types import ChatPrompt, GenerationRequest, Prompt
from providers.engine_host.frames import Answer, Detokenize, Detokenized, Question, Tokenize, Tokenized
from providers.engines.language.job import LanguageJob
from providers.engines.language.loading import LoadedModel
from providers.engines.language.prompts.builder import PromptBuilder, answer_room
from providers.engines.language.prompts.tools import ToolPrompter
from providers.engines.output.detokenizer import Vocabulary
from providers.engines.output.markup import (
    GENERIC_TOOLS,
    ReasoningFormat,
    ToolFormat,
    make_reasoning_format,
    make_tool_format,
    visible_tokens,
)
from providers.engines.output.parser import AnswerFormat
from providers.engines.process.engine import EngineLoadError, TakesLong
from providers.engines.sampling.settings import resolve, with_defaults
from providers.engines.sampling.thinking_budget import ThoughtLimit
from providers.engines.structured.compiler import CompiledGrammar, GrammarCompiler, GrammarTime, NotCompiled
from providers.engines.structured.constraint import Constraint
from providers.engines.structured.decision import decide, relaxed
from providers.engines.vision.pictures import Picture
from providers.errors import InvalidRequest, UnsupportedParameter
from providers.spec import ModelSpec

__all__ = ["Intake"]

logger = logging.getLogger(__name__)


class Intake:
    """Prepares requests for one model, as far as that is possible without running it. Threads may share it."""

    def __init__(
        self,
        loaded: LoadedModel,
        spec: ModelSpec,
        *,
        limit: int,
        vocabulary: int,
        trimmable: bool,
    ) -> None:
        """`limit`: tokens of prompt and answer together. `vocabulary`: count of usable ids. `trimmable`: as in
        `PromptBuilder`.

        Raises:
            EngineLoadError: the spec names an unknown parser.
        """
        tokenizer = self._tokenizer = loaded.tokenizer
        self._spec = spec
        self._defaults = loaded.generation_defaults
        self._limit = limit
        self._vocabulary = vocabulary
        self._pictures = loaded.pictures
        self._reasoning, tools = _formats(tokenizer, spec)
        self._calls = tools
        self._tokenizing = threading.Lock()
        """Held while the tokenizer is used: it fails on two threads."""
        prompter = ToolPrompter(tokenizer, tools)
        markup = visible_tokens(tokenizer, self._reasoning, prompter.format)
        self.text = Vocabulary(tokenizer, markup=markup | visible_tokens(tokenizer, None, GENERIC_TOOLS))
        self._prompts = PromptBuilder(
            tokenizer,
            prompter,
            self._reasoning,
            vocabulary=vocabulary,
            limit=limit,
            trimmable=trimmable,
            pictures=loaded.pictures,
        )
        self._grammars = GrammarCompiler(
            tokenizer,
            vocabulary,
            sorted(tokenizer.eos_token_ids),
            seconds=spec.grammar_timeout or None,
            tokenizing=self._tokenizing,
        )

    def job(self, request: GenerationRequest, *, may_wait: bool = True) -> LanguageJob:
        """Check a request completely, and make its job.

        Raises:
            ServiceError: the request cannot be fulfilled; with a message for the client.
            TakesLong: a grammar must be compiled or a picture be read, and the caller may not wait for it.
        """
        try:
            return self._job(request, self._grammars.time(), may_wait)
        except NotCompiled:
            raise TakesLong from None

    def _job(self, request: GenerationRequest, grammar_time: GrammarTime, may_wait: bool) -> LanguageJob:
        received = time.monotonic()
        completed = self._completed(request.prompt)
        prompt, ungrammatical = self._grammars.with_held_grammars(completed, grammar_time, may_wait=may_wait)
        prompt, given_up = relaxed(prompt, self._calls, self._reasoning)
        request = msgspec.structs.replace(
            request, prompt=prompt, sampling=with_defaults(request.sampling, self._spec.sampling)
        )
        settings = resolve(request.sampling, self._defaults, vocabulary=self._vocabulary)
        if request.timeout is not None and not request.timeout > 0:
            raise InvalidRequest(f"timeout must be greater than 0, not {request.timeout}", param="timeout")
        if request.grammar is not None and _continues(prompt):
            message = "an answer that continues a turn cannot have a form"
            raise UnsupportedParameter(message, param=request.grammar_param)
        pictures = self._read(prompt, may_wait)
        with self._tokenizing:
            built = self._prompts.build(prompt)
        param = "messages" if isinstance(prompt, ChatPrompt) else "prompt"
        room = answer_room(len(built.tokens), request.max_tokens, self._limit, param=param)
        if request.max_tokens is None and self._spec.max_tokens is not None:
            room = min(room, self._spec.max_tokens)
        plan = built.plan
        format = AnswerFormat() if plan is None else AnswerFormat(self._reasoning, plan.format)
        constraint = decide(request, format.tools, format.reasoning, opened=built.opened)
        grammar = None if constraint is None else self._grammar(constraint, grammar_time, may_wait)
        return LanguageJob(
            id=request.id,
            tokens=built.tokens,
            pictures=pictures,
            boundaries=built.boundaries,
            system_end=built.system_end,
            n=request.n,
            max_tokens=room,
            settings=settings,
            sampling=request.sampling,
            stop=tuple(request.stop),
            deadline=None if request.timeout is None else received + request.timeout,
            format=format,
            tools=[] if plan is None else plan.callable,
            parallel=not isinstance(prompt, ChatPrompt) or prompt.tool_choice.parallel,
            bare=request.grammar is None and not _continues(prompt),
            opened=built.opened,
            grammar=grammar,
            given_up=(*ungrammatical, *given_up, *(() if grammar is None else grammar.given_up)),
            thoughts=self._thought_limit(request),
            top_logprobs=request.top_logprobs,
            prompt_logprobs=request.prompt_logprobs,
            prefill_only=request.prefill_only,
            cache_salt=request.cache_salt,
            ends=built.ends,
        )

    def answer(self, question: Question) -> Answer:
        """The tokens of a prompt, or the text of tokens.

        Raises:
            ServiceError: the prompt or the tokens cannot be used; with a message for the client.
        """
        if isinstance(question, Tokenize):
            return Tokenized(question.id, self.shown(self._tokenized(question)))
        with self._tokenizing:
            return self._answer(question)

    def shown(self, tokens: list[int]) -> list[int]:
        """The tokens as clients may see them: those of pictures are the model's image token."""
        return tokens if self._pictures is None else self._pictures.shown(tokens)

    def _read(self, prompt: Prompt, may_wait: bool) -> tuple[Picture, ...]:
        return () if self._pictures is None else self._pictures.pictures(prompt, may_wait=may_wait)

    def _tokenized(self, question: Tokenize) -> list[int]:
        prompt = self._completed(question.prompt)
        pictures = self._read(prompt, may_wait=True)
        with self._tokenizing:
            if question.add_special_tokens is None:
                tokens = self._prompts.build(prompt, to_count=True).tokens
            else:
                tokens = self._prompts.tokens(prompt, special=question.add_special_tokens)
        del pictures  # Their tokens are known as long as they live.
        return tokens

    def _answer(self, question: Question) -> Answer:
        if not isinstance(question, Detokenize):
            raise InvalidRequest("a language model does not locate tokens")
        tokens = self._prompts.checked_ids(question.tokens, "tokens")
        if question.separately:
            written = self._tokenizer.convert_ids_to_tokens(tokens)
            return Detokenized(question.id, ["" if token is None else str(token) for token in written])
        text = self._tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return Detokenized(question.id, [str(text)])

    def _completed(self, prompt: Prompt) -> Prompt:
        """The prompt with the server's variables for the chat template."""
        if isinstance(prompt, ChatPrompt) and self._spec.chat_template_args:
            variables = {**self._spec.chat_template_args, **prompt.template_kwargs}
            prompt = msgspec.structs.replace(prompt, template_kwargs=variables)
        return _one_call(prompt)

    def _grammar(self, constraint: Constraint, grammar_time: GrammarTime, may_wait: bool) -> CompiledGrammar:
        grammar = self._grammars.compile(constraint, grammar_time, may_wait=may_wait)
        if grammar.given_up:
            logger.warning("answers are not held to %s, which no grammar can hold", ", ".join(grammar.given_up))
        return grammar

    def _thought_limit(self, request: GenerationRequest) -> ThoughtLimit | None:
        tokens = request.max_reasoning_tokens
        if tokens is None:
            return None
        if tokens < 0:
            raise InvalidRequest(f"max_reasoning_tokens must be at least 0, not {tokens}", param="max_reasoning_tokens")
        if self._reasoning is None or not isinstance(request.prompt, ChatPrompt):
            return None
        with self._tokenizing:
            start, end = (
                tuple(self._tokenizer.encode(marker, add_special_tokens=False))
                for marker in (self._reasoning.start, self._reasoning.end)
            )
        return ThoughtLimit(tokens=tokens, start=start, end=end)


def _continues(prompt: Prompt) -> bool:
    return isinstance(prompt, ChatPrompt) and prompt.continue_final


def _one_call(prompt: Prompt) -> Prompt:
    """The prompt with one call at most if `tool_choice` names a function, as in OpenAI's API."""
    if isinstance(prompt, ChatPrompt) and prompt.tool_choice.name is not None:
        choice = msgspec.structs.replace(prompt.tool_choice, parallel=False)
        return msgspec.structs.replace(prompt, tool_choice=choice)
    return prompt


def _formats(tokenizer: Any, spec: ModelSpec) -> tuple[ReasoningFormat | None, ToolFormat | None]:
    try:
        reasoning = make_reasoning_format(spec.reasoning_parser, tokenizer)
    except ValueError as error:
        raise EngineLoadError(f"--reasoning-parser: {error}") from None
    try:
        return reasoning, make_tool_format(spec.tool_call_parser, tokenizer)
    except ValueError as error:
        raise EngineLoadError(f"--tool-call-parser: {error}") from None
