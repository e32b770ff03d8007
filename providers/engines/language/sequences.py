"""Requests in the batch and the sequences that generate their outputs, on the MLX thread."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from providers.chat.types import Finished, FinishReason, GenerationEvent, Usage
from providers.engines.language.job import LanguageJob
from providers.engines.language.scoring import PromptScoring
from providers.engines.output.detokenizer import Decoder, Vocabulary
from providers.engines.output.parser import AnswerSplitter
from providers.engines.prefix.common_prefix import common_prefix
from providers.engines.process.base import as_service_error
from providers.engines.process.engine import Outbox
from providers.engines.sampling.logprobs import LogprobRecorder
from providers.engines.sampling.penalties import CountPenalty, Processor
from providers.engines.sampling.samplers import Sampler, make_sampler
from providers.engines.sampling.thinking_budget import ThoughtBudget
from providers.engines.structured.processor import BatchTokens, GrammarProcessor

__all__ = ["ActiveSequence", "Request", "nearest_prompt", "note_computed"]


Fate = Literal["goes on", "ended", "failed"]
"""What became of a sequence with its latest token; `failed`: of its request."""


@attrs.define(kw_only=True, eq=False)
class Request:
    """A request in the batch. Its first sequence computes the prompt; the others start from a copy of the cache."""

    job: LanguageJob
    cached_tokens: int
    accepted_at: float = attrs.field(factory=time.monotonic)
    sequences: dict[int, ActiveSequence] = attrs.field(factory=dict)
    """By uid: the sequences in the batch."""
    waiting: list[int] = attrs.field(factory=list)
    """Numbers of the outputs that have not begun."""
    prompt_ready: bool = False
    """Whether they may begin: `prefix` is the cache of all of the prompt but its last token; None if that is empty."""
    prefix: list[Any] | None = None
    scoring: PromptScoring | None = None
    """Computes the prompt instead of the first sequence, with its log-probabilities. None: it is not asked for, or
    done."""

    @property
    def length(self) -> int:
        """Tokens of its prompt."""
        return len(self.job.tokens)

    def unanswered(self) -> list[Finished]:
        """The end of each output of a request that wants no tokens."""
        usage, seconds = Usage(self.length, 0), time.monotonic() - self.accepted_at
        return [Finished("length", usage, seconds, 0.0, index=index) for index in range(self.job.n)]

    @property
    def ended(self) -> bool:
        return not self.sequences and not self.waiting and self.scoring is None


@attrs.define(kw_only=True, eq=False)
class ActiveSequence:
    """One output of a request while it is in the batch."""

    request: Request
    index: int
    decoder: Decoder
    splitter: AnswerSplitter
    sampler: Sampler
    processors: list[Processor]
    grammar: GrammarProcessor | None
    thoughts: ThoughtBudget | None
    logprobs: LogprobRecorder | None
    uid: int = -1
    computed: int = 0
    """Tokens of the prompt that the batch has computed, as far as it reported."""
    first_token_at: float = 0.0
    tokens: list[int] = attrs.field(factory=list)
    """Those generated so far, which the client has."""
    ended: bool = False

    @property
    def length(self) -> int:
        """Tokens of its prompt and its output so far."""
        return self.request.length + len(self.tokens)

    @classmethod
    def of(
        cls, request: Request, index: int, vocabulary: Vocabulary, processors: Sequence[Processor], *, drawn: int = 0
    ) -> ActiveSequence:
        """The sequence of output number `index` of a request, not in the batch yet.

        `processors`: its penalties and biases. The first output has the request's seed, the next one the next number.
        `drawn`: tokens that its sampler has drawn already.
        """
        job = request.job
        seed = job.sampling.seed
        sampler: Sampler = make_sampler(job.settings, None if seed is None else seed + index, drawn=drawn)
        grammar = None if job.grammar is None else job.grammar.processor()
        thoughts = None
        if job.thoughts is not None:
            decoder, splitter = vocabulary.decoder(markup=True), job.splitter(index)
            thoughts = ThoughtBudget(job.thoughts, splitter, decoder, reopens=bool(job.tools))
        # The grammar is last: nothing after it may change what it allows.
        chain: list[Processor] = [*processors]
        chain += [processor for processor in (thoughts, grammar) if processor is not None]
        logprobs = None
        if job.top_logprobs is not None:
            sampler = logprobs = LogprobRecorder(sampler, vocabulary, job.top_logprobs)
            chain = [logprobs.note_logits, *chain] if chain else []
        return cls(
            request=request,
            index=index,
            decoder=vocabulary.decoder(markup=not job.format.is_plain),
            splitter=job.splitter(index),
            sampler=sampler,
            processors=chain,
            grammar=grammar,
            thoughts=thoughts,
            logprobs=logprobs,
        )

    def again(self, vocabulary: Vocabulary, processors: Sequence[Processor]) -> ActiveSequence:
        """The same output for another batch, which computes its tokens again. `processors`: as in `of`, new ones.

        What the batch that failed had drawn beyond `tokens` leaves no trace in it.
        """
        new = ActiveSequence.of(self.request, self.index, vocabulary, processors, drawn=len(self.tokens))
        new.decoder, new.splitter = self.decoder, self.splitter
        new.tokens, new.first_token_at = self.tokens, self.first_token_at
        if self.tokens:
            for processor in new.processors:
                if isinstance(processor, CountPenalty | ThoughtBudget | GrammarProcessor):
                    processor.replay(self.tokens[:-1])
        return new

    def follow(self, batch: BatchTokens) -> None:
        """Let its processors read tokens from the batch. Call it once the sequence has its `uid`."""
        for processor in (self.thoughts, self.grammar):
            if processor is not None:
                processor.follow(batch, self.uid)

    def advance(self, token: int, finish: FinishReason | None, now: float, out: Outbox) -> Fate:
        """Send the events of one more token, or the error that ends the request. `finish`: as for `take`."""
        job = self.request.job
        try:
            out.events(job.id, self.take(token, finish, now))
        except BaseException as error:  # a panic in native code is not an Exception
            out.fail(job.id, job.context.run(as_service_error, error, job.id))
            return "failed"
        return "ended" if self.ended else "goes on"

    def take(self, token: int, finish: FinishReason | None, now: float) -> Sequence[GenerationEvent]:
        """The events of one more token. Sets `ended`.

        `finish`: the generator's reason; `stop` for an end token, which has no text.

        Raises:
            InvalidRequest: the output could not follow its grammar to the end.
        """
        if not self.tokens:
            self.first_token_at = now
        self.tokens.append(token)
        logprob = None if self.logprobs is None else self.logprobs.take(token)
        if finish is None and token in self.request.job.ends:
            finish = "stop"
        if finish is None:
            deltas = self.splitter.push(self.decoder.add(token), logprob)
            return [*deltas, *self._end("stop", now)] if self.splitter.stopped else deltas
        if finish == "stop":
            self._check_grammar()
            text, logprob = self.decoder.flush(), None
        else:
            text = self.decoder.add(token)
            # The length limit may cut a character in two: leave it out instead of showing it as broken.
            if self.decoder.is_whole:
                text += self.decoder.flush()
        return [*self.splitter.push(text, logprob), *self._end(finish, now)]

    def _check_grammar(self) -> None:
        grammar = self.request.job.grammar
        if grammar is not None and self.grammar is not None:
            error = grammar.failed(self.grammar)
            if error is not None:
                raise error

    def _end(self, finish: FinishReason, now: float) -> list[GenerationEvent]:
        self.ended = True
        left = self.splitter.finish("length" if finish == "length" else "stop")
        request = self.request
        prompt, thoughts = len(request.job.tokens), self.splitter.reasoning_tokens
        usage = Usage(prompt, len(self.tokens), request.cached_tokens, thoughts)
        reason = self.splitter.finish_reason or "stop"
        times = (self.first_token_at - request.accepted_at, now - self.first_token_at)
        return [*left, Finished(reason, usage, *times, index=self.index, stop=self.splitter.stop_string)]


def note_computed(sequences: Mapping[int, ActiveSequence], prompted: Sequence[Any]) -> None:
    """Note how much of their prompts sequences have computed, from mlx-lm's responses. `sequences`: by uid."""
    for response in prompted:
        sequence = sequences.get(response.uid)
        if sequence is not None:
            done, total = response.progress
            sequence.computed = sequence.length - total + done


def nearest_prompt(sequences: Mapping[int, ActiveSequence], job: LanguageJob, *, least: int) -> int | None:
    """The sequence that has computed the longest prefix of the job's prompt; None if none has computed `least` tokens.

    `sequences`: by uid. `least`: at least 1.
    """
    nearest, longest = None, least - 1
    for uid, sequence in sequences.items():
        if sequence.computed <= longest or sequence.request.job.cache_salt != job.cache_salt:
            continue
        tokens = sequence.request.job.tokens
        # Of many sequences, few have this token in common with the job, and none shares more without it.
        if tokens[longest : longest + 1] == job.tokens[longest : longest + 1] != []:
            shared = min(common_prefix(tokens, job.tokens), sequence.computed)
            if shared > longest:
                nearest, longest = uid, shared
    return nearest
