"""The deltas of one answer, made of what the stages of the output parser found."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from providers.chat.types import ReasoningDelta, TextDelta, TokenLogprob, ToolCallDelta
from providers.engines.output.call_detection import CallArguments, CallStart
from providers.engines.output.reasoning import Content, Thought

__all__ = ["Delta", "DeltaWriter", "Part", "new_call_id"]

Delta = TextDelta | ReasoningDelta | ToolCallDelta
Part = Thought | Content | CallStart | CallArguments


def new_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


class DeltaWriter:
    """Collects parts, and turns them into deltas with their tokens and log-probabilities.

    The first delta after a `drain` reports all tokens that no delta has reported. It also takes all log-probabilities
    that wait: content reports them, reasoning and calls drop them.
    """

    __slots__ = ("_calls", "_index", "_new_id", "_parts", "logprobs", "tokens")

    def __init__(self, *, index: int = 0, new_id: Callable[[], str] = new_call_id) -> None:
        self._index = index
        self._new_id = new_id
        self._parts: list[Part] = []
        self._calls = 0
        self.tokens = 0
        """Tokens that no delta has reported."""
        self.logprobs: list[TokenLogprob] = []
        """Log-probabilities that wait for content."""

    def add(self, part: Part) -> None:
        """Add a part, which extends the last one if both are of the same kind."""
        if self._parts:
            last = self._parts[-1]
            if type(last) is type(part) and not isinstance(part, CallStart):
                assert not isinstance(last, CallStart)
                last.text += part.text
                return
        self._parts.append(part)

    def drop_logprobs(self) -> None:
        """Forget log-probabilities that belong to no part."""
        if not self._parts:
            self.logprobs.clear()

    def text(self, text: str) -> TextDelta:
        """The delta of content."""
        tokens, self.tokens = self.tokens, 0
        logprobs = self.logprobs
        if not logprobs:
            return TextDelta(text, tokens, self._index)
        self.logprobs = []
        return TextDelta(text, tokens, self._index, logprobs)

    def drain(self) -> list[Delta]:
        """The deltas of the parts since the last call."""
        parts = self._parts
        if not parts:
            return []
        self._parts = []
        return [self._delta(parts[0])] if len(parts) == 1 else [self._delta(part) for part in parts]

    def _delta(self, part: Part) -> Delta:
        if isinstance(part, Content):
            return self.text(part.text)
        tokens, self.tokens = self.tokens, 0
        if self.logprobs:
            self.logprobs = []
        if isinstance(part, Thought):
            return ReasoningDelta(part.text, tokens, self._index)
        if isinstance(part, CallArguments):
            return ToolCallDelta(self._calls - 1, part.text, tokens=tokens, index=self._index)
        self._calls += 1
        return ToolCallDelta(self._calls - 1, id=self._new_id(), name=part.name, tokens=tokens, index=self._index)
