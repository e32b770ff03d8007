"""From the text of an answer to what it means: content, reasoning and tool calls, on whatever borders it arrives."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import attrs

from providers.chat.types import FinishReason, ReasoningDelta, TextDelta, TokenLogprob, Tool, ToolCallDelta
from providers.engines.output.call_detection import Candidate, Step, make_candidate
from providers.engines.output.detokenizer import StopMatcher, StopSplitter
from providers.engines.output.markup import ReasoningFormat, ToolFormat

__all__ = ["AnswerFormat", "AnswerSplitter", "new_call_id"]

_SPACE = " \t\r\n"
_MAX_SPACE = 1024
"""White space held back because a thought or a call may follow, which would swallow it."""

_Delta = TextDelta | ReasoningDelta | ToolCallDelta


def new_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


class _Markers:
    """The markers that count in one state, each with what it leads to."""

    def __init__(self, edges: Sequence[tuple[str, str]]) -> None:
        self._edges = dict(edges)
        self.firsts = frozenset(marker[0] for marker in self._edges)
        """Text without any of these holds no marker."""
        self._longest = max(map(len, self._edges), default=1)

    def search(self, text: str) -> tuple[int, str, str] | None:
        """(position, marker, what it leads to) of the marker that ends first; of two, the longer."""
        if self.firsts.isdisjoint(text):
            return None
        found = ((text.find(marker), marker) for marker in self._edges)
        ends = [(at + len(marker), -len(marker), marker) for at, marker in found if at >= 0]
        if not ends:
            return None
        end, _, marker = min(ends)
        return end - len(marker), marker, self._edges[marker]

    def held(self, text: str) -> int:
        """How many characters at the end may become a marker."""
        tail = text[-(self._longest - 1) :] if self._longest > 1 else ""
        if self.firsts.isdisjoint(tail):
            return 0
        lengths = range(len(tail), 0, -1)
        return next((n for n in lengths if any(marker.startswith(tail[-n:]) for marker in self._edges)), 0)


@attrs.frozen
class AnswerFormat:
    """How one model's answers are marked up; shared by all of them. Either part may be None: there is none such."""

    reasoning: ReasoningFormat | None = None
    tools: ToolFormat | None = None

    @property
    def is_plain(self) -> bool:
        return self.reasoning is None and self.tools is None


@functools.lru_cache(maxsize=64)
def _marker_table(reasoning: ReasoningFormat | None, tools: ToolFormat | None) -> Mapping[str, _Markers]:
    return {state: _Markers(edges) for state, edges in _edges(reasoning, tools).items()}


def _edges(reasoning: ReasoningFormat | None, tools: ToolFormat | None) -> dict[str, list[tuple[str, str]]]:
    """Markers by state. Beside mlx-lm's states they lead to: `stray` (the end of no thought), `drop`, and `closed`
    (the end marker of a call that has ended)."""
    edges: dict[str, list[tuple[str, str]]] = {"normal": [], "reasoning": [], "header": []}
    if reasoning is not None and reasoning.transitions:
        for state, listed in reasoning.transitions.items():
            edges[state].extend(listed)
    elif reasoning is not None:
        edges["normal"] += [(reasoning.end, "stray"), (reasoning.start, "reasoning")]
        edges["reasoning"] += [(reasoning.start, "reasoning"), (reasoning.end, "normal")]
        edges["normal"] += [(marker, "drop") for marker in reasoning.structural]
    if tools is not None:
        if not any(target == "tool" for listed in edges.values() for _, target in listed):
            edges["normal"].append((tools.start, "tool"))
            edges["reasoning"].append((tools.start, "tool"))
        if tools.is_json:
            edges["normal"].append((tools.end, "closed"))
    return edges


class AnswerSplitter:
    """Splits one answer. The same text gives the same result however it is cut into pieces.

    Stop strings count in content alone: neither in reasoning nor inside a call. Once one is whole `stopped` is set,
    as it is after the first call where only one is allowed; then nothing more leaves.
    """

    def __init__(
        self,
        format: AnswerFormat,
        *,
        tools: Sequence[Tool] = (),
        opened: bool = False,
        parallel: bool = True,
        stop: StopMatcher | None = None,
        index: int = 0,
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        """`tools`: what may be called; without any, call markup is text. `opened`: the prompt ends inside a thought
        (`ReasoningFormat.opened_by`). `parallel`: whether there may be several calls."""
        self._reasoning = format.reasoning
        self._format = format.tools if tools else None
        self._tools = {tool.name: _for_parser(tool) for tool in tools}
        self._table = _marker_table(self._reasoning, self._format)
        self._parallel = parallel
        self._matcher = stop
        self._stop = StopSplitter(stop) if stop is not None else None
        self._index = index
        self._new_id = new_id

        self._state: str = "normal"
        if self._reasoning is not None:
            self._state = "reasoning" if opened else self._reasoning.initial
        self._buffer = ""
        self._space = ""
        self._blank = self._reasoning is not None or self._format is not None
        """Nothing but white space since the answer, or the last thought or call of it, began."""
        self._keep_space = True
        self._thought_blank = True

        self._candidate: Candidate | None = None
        self._marker = ""
        self._origin: str = "normal"
        self._closing = False
        """A call has ended, its end marker has not come yet."""
        self._calls = 0
        self._broken = False

        self._out: list[list[Any]] = []
        self._unreported = 0
        self._logprobs: list[TokenLogprob] = []
        self.stopped = False
        self.reasoning_tokens = 0
        """Tokens of the thoughts, their markers included."""
        self.finish_reason: FinishReason | None = None
        """Set by `finish`."""

    @property
    def reasoning(self) -> bool:
        """Whether the answer stands inside a thought."""
        return "reasoning" in (self._state, self._origin if self._state == "tool" else "")

    @property
    def in_call(self) -> bool:
        """Whether a call has been opened that is neither whole nor known to be text."""
        return self._state == "tool"

    def push(self, text: str, logprob: TokenLogprob | None = None, *, tokens: int = 1) -> list[_Delta]:
        """What may leave after this piece: whole characters, which `tokens` decode steps made.

        Log-probabilities wait for the next content; those of reasoning and calls are dropped.
        """
        if self.stopped:
            return []
        self._unreported += tokens
        if logprob is not None:
            self._logprobs.append(logprob)
        if self._flows(text):
            return [self._delta("text", text, [], self._take_tokens())]
        before = self.reasoning
        if text:
            self._buffer += text
            while self._advance():
                pass
        if before or self.reasoning:
            self.reasoning_tokens += tokens
        return self._drain()

    def _flows(self, text: str) -> bool:
        """Whether this is content that leaves as it is: most pieces are, and every microsecond is a row's."""
        if not text or self._state != "normal" or self._buffer or self._blank or self._stop is not None:
            return False
        return self._table["normal"].firsts.isdisjoint(text)

    def finish(self, reason: Literal["stop", "length"]) -> list[_Delta]:
        """The answer has ended, by the model's own end (or a stop string), or by its length. Sets `finish_reason`:
        `tool_calls` only where the model ended by itself and every call that was announced is whole."""
        if not self.stopped:
            while self._candidate is not None:
                self._settle(self._candidate.finish(cut=reason == "length"))
                while self._advance():
                    pass
            if not self.stopped:
                if not (self._closing and self._format is not None and self._format.end.startswith(self._buffer)):
                    self._emit(self._buffer)
                self._end_content()
        if self.stopped:
            reason = "stop"
        self._buffer = ""
        whole = self._calls > 0 and not self._broken
        self.finish_reason = "tool_calls" if whole and reason == "stop" else reason
        return self._drain()

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────

    def _advance(self) -> bool:
        """Read what the buffer lets this state read; whether another state may read on."""
        if self.stopped:
            return False
        if self._candidate is not None:
            text, self._buffer = self._buffer, ""
            return bool(text) and self._settle(self._candidate.feed(text))
        markers = self._table[self._state]
        found = markers.search(self._buffer)
        if found is None:
            safe = len(self._buffer) - markers.held(self._buffer)
            text, self._buffer = self._buffer[:safe], self._buffer[safe:]
            self._emit(text)
            return False
        at, marker, target = found
        text, self._buffer = self._buffer[:at], self._buffer[at + len(marker) :]
        self._emit(text)
        self._cross(marker, target)
        return True

    def _cross(self, marker: str, target: str) -> None:
        """A marker has been read that counts in this state, if it stands where markers do."""
        anywhere = self._reasoning is not None and self._reasoning.anywhere
        match target:
            case "tool":
                self._open_call(marker)
            case "closed" if self._closing:
                self._closing = False
            case "drop":
                pass
            case "stray" if self._blank or anywhere:
                self._begin("normal")
            case "reasoning" if self._state == "reasoning" and (self._thought_blank or anywhere):
                pass
            case "reasoning" if self._state != "reasoning" and (self._blank or anywhere):
                self._begin("reasoning")
            case "normal" if self._state == "normal":
                pass
            case "normal" | "header":
                self._begin(target)
            case _:
                self._emit(marker)

    def _begin(self, state: str) -> None:
        self._space = ""
        self._blank, self._keep_space = True, False
        self._thought_blank = True
        self._state = state
        if not self._out:
            self._logprobs.clear()

    def _open_call(self, marker: str) -> None:
        if self._format is None:
            if self._state == "header":
                self._begin("normal")
            self._emit(marker)
            return
        self._marker, self._origin, self._state = marker, self._state, "tool"
        self._closing = False
        self._candidate = make_candidate(self._format, self._tools)

    def _settle(self, step: Step) -> bool:
        """Act on a candidate's verdict; whether it was its last."""
        for name, arguments in step.parts:
            if name is not None and self._calls and not self._parallel:
                break
            self._call_part(name, arguments)
        if step.verdict == "more":
            return False
        self._candidate = None
        self._buffer = step.rest + self._buffer
        if step.verdict == "text":
            self._state = "normal" if self._origin == "header" else self._origin
            self._emit(self._marker)
        else:
            self._begin("normal")
            self._broken = self._broken or step.verdict == "broken"
            self._closing = self._format is not None and self._format.is_json
            self.stopped = not self._parallel
        return True

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────────

    def _emit(self, text: str) -> None:
        if not text:
            return
        if self._state == "reasoning":
            self._emit_thought(text)
        elif self._state == "normal":
            self._emit_content(text)

    def _emit_thought(self, text: str) -> None:
        text = self._space + text
        if self._thought_blank:
            text = text.lstrip(_SPACE)
        kept = len(text.rstrip(_SPACE))
        kept = max(kept, len(text) - _MAX_SPACE)
        text, self._space = text[:kept], text[kept:]
        if text:
            self._thought_blank = False
            self._end_content()
            self._append("reasoning", text)

    def _emit_content(self, text: str) -> None:
        if self._blank:
            stripped = text.lstrip(_SPACE)
            if self._keep_space:
                self._space += text[: len(text) - len(stripped)]
            if not stripped:
                surplus = max(0, len(self._space) - _MAX_SPACE)
                text, self._space = self._space[:surplus], self._space[surplus:]
            else:
                text, self._space, self._blank = self._space + stripped, "", False
        if self._stop is not None:
            text = self._stop.push(text)
            self.stopped = self._stop.stopped
        if text:
            self._append("text", text)

    def _end_content(self) -> None:
        """Content ends here, or is interrupted: no stop string continues."""
        if self._state == "normal" and self._keep_space and self._blank and self._space:
            text, self._space = self._space, ""
            self._append("text", text if self._stop is None else self._stop.push(text))
        if self._stop is not None and not self._stop.stopped:
            held = self._stop.flush()
            self._stop = StopSplitter(self._matcher) if self._matcher is not None else None
            if held:
                self._append("text", held)

    def _append(self, kind: str, text: str) -> None:
        if self._out and self._out[-1][0] == kind:
            self._out[-1][1] += text
        elif text:
            self._out.append([kind, text])

    def _call_part(self, name: str | None, arguments: str) -> None:
        if name is not None:
            self._space = ""
            self._end_content()
            self._out.append(["call", "", self._calls, name, self._new_id()])
            self._calls += 1
        if arguments:
            last = self._out[-1] if self._out else None
            if last is not None and last[0] == "arguments":
                last[1] += arguments
            else:
                self._out.append(["arguments", arguments, self._calls - 1])

    def _drain(self) -> list[_Delta]:
        if not self._out:
            return []
        out, self._out = self._out, []
        deltas = []
        for kind, text, *call in out:
            deltas.append(self._delta(kind, text, call, self._take_tokens()))
        return deltas

    def _take_tokens(self) -> int:
        tokens, self._unreported = self._unreported, 0
        return tokens

    def _delta(self, kind: str, text: str, call: list[Any], tokens: int) -> _Delta:
        logprobs, self._logprobs = self._logprobs, []
        match kind:
            case "text":
                return TextDelta(text, tokens, self._index, logprobs or None)
            case "reasoning":
                return ReasoningDelta(text, tokens, self._index)
            case "call":
                number, name, id = call
                return ToolCallDelta(number, id=id, name=name, tokens=tokens, index=self._index)
            case _:
                return ToolCallDelta(call[0], text, tokens=tokens, index=self._index)


def _for_parser(tool: Tool) -> dict[str, Any]:
    """A tool as mlx-lm's parsers read it: they stumble over properties that are no objects."""
    properties = (tool.parameters or {}).get("properties")
    sound = {k: v for k, v in properties.items() if isinstance(v, dict)} if isinstance(properties, dict) else {}
    return {"type": "function", "function": {"name": tool.name, "parameters": {"properties": sound}}}
