"""The stage of the output parser that separates thoughts from content, without their markers and the white space
around them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import msgspec

from providers.engines.output.markup import ReasoningFormat, ToolFormat

__all__ = ["CallOpening", "Content", "Section", "SectionSplitter", "SectionStart", "Thought"]

_SPACE = " \t\r\n"
_MAX_SPACE = 1024
"""Characters of white space held back because a thought or a call that follows would drop them."""


class Thought(msgspec.Struct, gc=False):
    text: str


class Content(msgspec.Struct, gc=False):
    text: str


class SectionStart(msgspec.Struct, frozen=True, gc=False):
    """A thought or content begins here."""


class CallOpening(msgspec.Struct, gc=False):
    """A marker that may open a tool call, and the text after it, which this stage has not read."""

    marker: str
    rest: str


Section = Thought | Content | SectionStart | CallOpening
_SECTION_START = SectionStart()


class _Markers:
    """The markers that count in one state, each with its target."""

    def __init__(self, edges: Sequence[tuple[str, str]]) -> None:
        self._edges = dict(edges)
        self.firsts = frozenset(marker[0] for marker in self._edges)
        """Text without any of these characters contains no marker and no beginning of one."""
        self._longest = max(map(len, self._edges), default=1)

    def search(self, text: str) -> tuple[int, str, str] | None:
        """(position, marker, target) of the marker that ends first; of two, the longer."""
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


@functools.lru_cache(maxsize=64)
def _marker_table(reasoning: ReasoningFormat | None, tools: ToolFormat | None) -> Mapping[str, _Markers]:
    return {state: _Markers(edges) for state, edges in _edges(reasoning, tools).items()}


def _edges(reasoning: ReasoningFormat | None, tools: ToolFormat | None) -> dict[str, list[tuple[str, str]]]:
    """Markers by state. Targets are mlx-lm's states (`tool` opens a call), and `stray` (the end of a thought that did
    not begin), `drop`, and `closed` (the end marker of a call that has ended)."""
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


class SectionSplitter:
    """Splits an answer into thoughts and content, and stops reading where a call may open.

    The caller reads on after a `CallOpening`, and returns here with `after_call` or `not_a_call`.
    """

    __slots__ = (
        "_anywhere",
        "_blank",
        "_buffer",
        "_closing",
        "_keep_space",
        "_markers",
        "_space",
        "_state",
        "_table",
        "_thought_blank",
        "_tools",
        "in_thought",
    )

    def __init__(self, reasoning: ReasoningFormat | None, tools: ToolFormat | None, *, opened: bool = False) -> None:
        """`tools`: None makes call markup text. `opened`: the prompt ends inside a thought."""
        self._table = _marker_table(reasoning, tools)
        self._tools = tools
        self._anywhere = reasoning is not None and reasoning.anywhere
        self._state = "normal"
        if reasoning is not None:
            self._state = "reasoning" if opened else reasoning.initial
        self._markers = self._table[self._state]
        self.in_thought = self._state == "reasoning"
        self._buffer = ""
        """What may become a marker."""
        self._space = ""
        """White space held back."""
        self._blank = reasoning is not None or tools is not None
        """Nothing but white space since the answer, or its last thought or call, began."""
        self._keep_space = True
        """White space before content belongs to it: true only at the beginning of the answer."""
        self._thought_blank = True
        self._closing = False
        """A call has ended, and its end marker has not come yet."""

    def passes(self, text: str) -> bool:
        """Whether `feed` would return this text as content and change nothing."""
        if self._blank or self._buffer or self._state != "normal":
            return False
        return self._markers.firsts.isdisjoint(text)

    def feed(self, text: str) -> list[Section]:
        """Read more text. Only the last section can be a `CallOpening`."""
        sections: list[Section] = []
        if self._buffer:
            text = self._buffer + text
        while (found := self._markers.search(text)) is not None:
            at, marker, target = found
            self._emit(text[:at], sections)
            text = text[at + len(marker) :]
            if target == "tool" and self._tools is not None:
                self._buffer, self._closing = "", False
                sections.append(CallOpening(marker, text))
                return sections
            self._cross(marker, target, sections)
        held = self._markers.held(text)
        if held:
            text, self._buffer = text[:-held], text[-held:]
        else:
            self._buffer = ""
        self._emit(text, sections)
        return sections

    def not_a_call(self, marker: str) -> list[Section]:
        """Take back a `CallOpening`: its marker is text."""
        sections: list[Section] = []
        if self._state == "header":
            self._enter("normal")
        self._emit(marker, sections)
        return sections

    def after_call(self) -> list[Section]:
        """Content follows a call, perhaps after its end marker."""
        sections: list[Section] = []
        self._begin("normal", sections)
        self._closing = self._tools is not None and self._tools.is_json
        return sections

    def finish(self, *, cut: bool = False) -> list[Section]:
        """The answer has ended: what was held back for a marker, or for what would follow white space, is text.
        `cut`: it ended by its length, so that two characters or more of a call's marker are the beginning of a call,
        which is dropped."""
        sections: list[Section] = []
        tools = self._tools
        ends_call = self._closing and tools is not None and tools.end.startswith(self._buffer)
        begins_call = cut and tools is not None and len(self._buffer) > 1 and tools.start.startswith(self._buffer)
        if not (ends_call or begins_call):
            self._emit(self._buffer, sections)
        if self._state == "normal" and self._keep_space and self._blank and self._space:
            sections.append(Content(self._space))
        return sections

    def _cross(self, marker: str, target: str, sections: list[Section]) -> None:
        """Act on a marker of this state, if it stands where markers count; otherwise it is text."""
        match target:
            case "tool":
                if self._state == "header":
                    self._begin("normal", sections)
                self._emit(marker, sections)
            case "closed" if self._closing:
                self._closing = False
            case "drop":
                pass
            case "stray" if self._blank or self._anywhere:
                self._begin("normal", sections)
            case "reasoning" if self._state == "reasoning" and (self._thought_blank or self._anywhere):
                pass
            case "reasoning" if self._state != "reasoning" and (self._blank or self._anywhere):
                self._begin("reasoning", sections)
            case "normal" if self._state == "normal":
                pass
            case "normal" | "header":
                self._begin(target, sections)
            case _:
                self._emit(marker, sections)

    def _begin(self, state: str, sections: list[Section]) -> None:
        self._space = ""
        self._blank, self._keep_space = True, False
        self._thought_blank = True
        self._enter(state)
        sections.append(_SECTION_START)

    def _enter(self, state: str) -> None:
        self._state, self._markers = state, self._table[state]
        self.in_thought = state == "reasoning"

    def _emit(self, text: str, sections: list[Section]) -> None:
        if not text:
            return
        if self.in_thought:
            self._emit_thought(text, sections)
        elif self._state == "normal":
            if self._blank:
                text = self._after_blank(text)
            if text:
                sections.append(Content(text))

    def _emit_thought(self, text: str, sections: list[Section]) -> None:
        if self._space:
            text = self._space + text
        if self._thought_blank:
            text = text.lstrip(_SPACE)
        kept = len(text.rstrip(_SPACE))
        kept = max(kept, len(text) - _MAX_SPACE)
        text, self._space = text[:kept], text[kept:]
        if text:
            self._thought_blank = False
            sections.append(Thought(text))

    def _after_blank(self, text: str) -> str:
        """The content in text that follows nothing, or white space only."""
        stripped = text.lstrip(_SPACE)
        if self._keep_space:
            self._space += text[: len(text) - len(stripped)]
        if stripped:
            text, self._space, self._blank = self._space + stripped, "", False
        else:
            surplus = max(0, len(self._space) - _MAX_SPACE)
            text, self._space = self._space[:surplus], self._space[surplus:]
        return text
