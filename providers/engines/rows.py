"""Requests in flight and the rows of the batch that answer them, on the MLX thread."""

from __future__ import annotations

import attrs

from providers.engines.answer import AnswerSplitter
from providers.engines.grammar import GrammarProcessor
from providers.engines.jobs import LanguageJob
from providers.engines.text import Decoder
from providers.generation import Finished, FinishReason, GenerationEvent, Usage

__all__ = ["Row"]


@attrs.define(kw_only=True, eq=False)
class Row:
    """One answer in the batch."""

    job: LanguageJob
    uid: int
    index: int
    decoder: Decoder
    splitter: AnswerSplitter
    grammar: GrammarProcessor | None
    cached_tokens: int
    accepted_at: float
    first_token_at: float = 0.0
    generated: int = 0
    ended: bool = False

    def take(self, token: int, finish: FinishReason | None, now: float) -> list[GenerationEvent]:
        """The events of one more token; sets `ended`. `finish` is the generator's: `stop` for an end token, which
        has no text.

        Raises:
            InvalidRequest: the grammar could not be followed to its end.
        """
        if not self.generated:
            self.first_token_at = now
        self.generated += 1
        text = "" if finish == "stop" else self.decoder.add(token)
        if finish is None:
            events: list[GenerationEvent] = [*self.splitter.push(text)]
            if not self.splitter.stopped:
                return events
            finish = "stop"
        else:
            if finish == "stop":
                self._check_grammar()
            events = [*self.splitter.push(text + self.decoder.flush())]
        events += self.splitter.finish("length" if finish == "length" else "stop")
        events.append(self._finished(now))
        self.ended = True
        return events

    def _check_grammar(self) -> None:
        if self.job.grammar is not None and self.grammar is not None:
            error = self.job.grammar.compiled.failed(self.grammar)
            if error is not None:
                raise error

    def _finished(self, now: float) -> Finished:
        usage = Usage(len(self.job.tokens), self.generated, self.cached_tokens, self.splitter.reasoning_tokens)
        reason = self.splitter.finish_reason or "stop"
        times = (self.first_token_at - self.accepted_at, now - self.first_token_at)
        return Finished(reason, usage, *times, index=self.index)
