"""The output parser: from the text of one answer, however it is cut into pieces, to content, reasoning and tool calls.

`SectionSplitter` separates thoughts from content. `CallReader` reads tool calls, of which `RepeatFilter` drops
repeats. `StopSplitter` ends content at a stop string, and `BareCall` reads content that is a call without markers.
`DeltaWriter` turns the parts that they find into deltas.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import attrs

from providers.chat.types import FinishReason, TokenLogprob, Tool
from providers.engines.output.bare_call import BareCall
from providers.engines.output.call_detection import CallReader, CallStart, Step
from providers.engines.output.deltas import Delta, DeltaWriter, new_call_id
from providers.engines.output.markup import ReasoningFormat, ToolFormat
from providers.engines.output.reasoning import CallOpening, Content, Section, SectionSplitter, Thought
from providers.engines.output.repeats import RepeatFilter
from providers.engines.output.stop import StopMatcher, StopSplitter

__all__ = ["AnswerFormat", "AnswerSplitter"]


@attrs.frozen
class AnswerFormat:
    """How one model's answers are marked up, shared by all of them. A part that is None does not occur."""

    reasoning: ReasoningFormat | None = None
    tools: ToolFormat | None = None

    @property
    def is_plain(self) -> bool:
        return self.reasoning is None and self.tools is None


class AnswerSplitter:
    """Splits one answer. The same text gives the same result however it is cut into pieces.

    Stop strings count only in content, neither in reasoning nor inside a call. `stopped` is set once one is complete,
    after the first call if only one is allowed, and after a call that repeats an earlier one; then nothing more
    leaves.
    """

    __slots__ = (
        "_bare",
        "_calls",
        "_parallel",
        "_repeats",
        "_sections",
        "_stop",
        "_writer",
        "finish_reason",
        "reasoning_tokens",
        "stopped",
    )

    def __init__(
        self,
        format: AnswerFormat,
        *,
        tools: Sequence[Tool] = (),
        opened: bool = False,
        parallel: bool = True,
        bare: bool = True,
        stop: StopMatcher | None = None,
        index: int = 0,
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        """`tools`: the functions that may be called; without any, call markup is text. `opened`: the prompt ends
        inside a thought (`ReasoningFormat.opened_by`). `parallel`: whether there may be several calls. `bare`:
        whether an answer that is the JSON object of a call is one."""
        called = format.tools if tools else None
        self._sections = SectionSplitter(format.reasoning, called, opened=opened)
        self._calls = CallReader(called, tools, parallel=parallel)
        self._repeats = RepeatFilter()
        self._bare = BareCall(tools if bare and called is not None else ())
        self._stop = None if stop is None else StopSplitter(stop)
        self._writer = DeltaWriter(index=index, new_id=new_id)
        self._parallel = parallel
        self.stopped = False
        self.reasoning_tokens = 0
        """Tokens of the thoughts, their markers included."""
        self.finish_reason: FinishReason | None = None
        """Set by `finish`."""

    @property
    def reasoning(self) -> bool:
        """Whether the answer stands inside a thought, perhaps in a call that was opened there."""
        return self._sections.in_thought

    @property
    def stop_string(self) -> str | None:
        """The stop string that ended the answer; None: none did."""
        return None if self._stop is None else self._stop.found

    @property
    def in_call(self) -> bool:
        """Whether a call has been opened that is neither whole nor known to be text."""
        return self._calls.is_open

    def push(self, text: str, logprob: TokenLogprob | None = None, *, tokens: int = 1) -> list[Delta]:
        """The deltas that may leave after this piece of text: whole characters, from `tokens` decode steps.

        Log-probabilities wait for the next content; those of reasoning and calls are dropped.
        """
        if self.stopped:
            return []
        writer, sections = self._writer, self._sections
        writer.tokens += tokens
        if logprob is not None:
            writer.logprobs.append(logprob)
        # Most pieces are content that leaves unchanged, and every sequence in the batch waits for this method.
        if text and self._stop is None and not (self._calls.is_open or self._bare.is_open) and sections.passes(text):
            return [writer.text(text)]
        before = sections.in_thought
        self._read(text)
        if before or (sections.in_thought and not self.stopped):
            self.reasoning_tokens += tokens
        return writer.drain()

    def finish(self, reason: Literal["stop", "length"]) -> list[Delta]:
        """The answer has ended: the model (or a stop string) ended it, or its length. Sets `finish_reason`, which is
        `tool_calls` only if the answer was not cut and every call that began is whole."""
        cut = reason == "length"
        if not self.stopped:
            while self._calls.is_open:
                self._read(self._take_call(self._calls.finish(cut=cut)))
            if not self.stopped:
                self._take_sections(self._sections.finish(cut=cut))
                self._flush_stop()
        if self.stopped:
            reason = "stop"
        bare = self._end_bare(cut=reason == "length")
        whole = (self._calls.started and not self._calls.broken) or bare
        self.finish_reason = "tool_calls" if whole and reason == "stop" else reason
        return self._writer.drain()

    def _read(self, text: str) -> None:
        while text and not self.stopped:
            if self._calls.is_open:
                text = self._take_call(self._calls.feed(text))
            else:
                text = self._take_sections(self._sections.feed(text))

    def _take_sections(self, sections: Sequence[Section]) -> str:
        """Pass sections on. Returns the text that has not been read."""
        for section in sections:
            if isinstance(section, Content):
                self._take_content(section)
                if self.stopped:
                    return ""
            elif isinstance(section, Thought):
                if self._stop is not None or self._bare.is_open:
                    self._end_content()
                self._writer.add(section)
            elif isinstance(section, CallOpening):
                self._calls.open(section.marker)
                return section.rest
            else:
                self._writer.drop_logprobs()
        return ""

    def _take_call(self, step: Step) -> str:
        """Pass the parts of calls on. Returns the text that has not been read."""
        parts = self._repeats.passed(step.parts)
        if step.verdict != "more":
            parts += self._repeats.end_call(whole=step.verdict == "call", cut=step.verdict == "cut")
        for part in parts:
            if isinstance(part, CallStart):
                self._end_content()
            self._writer.add(part)
        if step.verdict == "text":
            self._take_sections(self._sections.not_a_call(self._calls.marker))
        elif step.verdict in ("call", "broken"):
            self._take_sections(self._sections.after_call())
            self.stopped = self._repeats.repeated or not self._parallel
        return step.rest

    def _take_content(self, content: Content) -> None:
        if self._stop is not None:
            content.text = self._stop.push(content.text)
            self.stopped = self._stop.found is not None
        self._add_content(content)

    def _add_content(self, content: Content) -> None:
        if self._bare.is_open and content.text:
            content.text = self._bare.feed(content.text)
        if content.text:
            self._writer.add(content)

    def _end_content(self) -> None:
        """Content is interrupted here: no stop string and no call without markers continues."""
        self._flush_stop()
        held = self._bare.release()
        if held:
            self._writer.add(Content(held))

    def _flush_stop(self) -> None:
        if self._stop is not None:
            self._add_content(Content(self._stop.flush()))

    def _end_bare(self, *, cut: bool) -> bool:
        """The answer has ended. Returns whether it is a call without markers."""
        parts, held = self._bare.finish(cut=cut)
        if held:
            self._writer.add(Content(held))
        for part in parts:
            self._writer.add(part)
        return bool(parts)
