"""The markup of reasoning and tool calls: mlx-lm's formats, formats that it lacks, and overrides by name."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import mlx_lm.tool_parsers

from providers.engines.output import call_parsers
from providers.engines.output.call_parsers import Parser

__all__ = [
    "GENERIC_TOOLS",
    "ReasoningFormat",
    "ToolFormat",
    "make_reasoning_format",
    "make_tool_format",
    "reasoning_format_names",
    "tool_format_names",
    "visible_tokens",
]

AUTO, NONE, GENERIC = "auto", "none", "generic"

Transitions = Mapping[str, Sequence[tuple[str, str]]]
"""From a state to (marker, next state), with mlx-lm's names of states: `normal`, `reasoning`, `tool`, `header`."""


@attrs.frozen(kw_only=True, eq=False)
class ReasoningFormat:
    """The markers around a thought.

    `start` opens one and `end` closes it. If a model wraps every part of its answer, `transitions` has all markers,
    and `initial` is the state in which an answer begins; text in the state `header` is part of the markup.
    """

    name: str
    start: str
    end: str
    transitions: Transitions = attrs.field(factory=dict)
    initial: str = "normal"
    structural: tuple[str, ...] = ()
    """Markers around the answer itself, which are dropped."""
    anywhere: bool = False
    """The markers are tokens that prose cannot contain, so they count anywhere in the text."""

    def opened_by(self, prompt: str) -> bool:
        """Whether the rendered prompt ends inside a thought, which the answer then continues.

        Only the end of the prompt counts, since the conversation may mention these markers.
        """
        return prompt.rstrip().endswith(self.start.rstrip())


@attrs.frozen(kw_only=True, eq=False)
class ToolFormat:
    """The markers around a call, and the parser of what is between them."""

    name: str
    start: str
    end: str
    """Empty: a call ends where the next begins, or with the answer."""
    parse: Parser | None
    """Parser of the text between the markers; None for `{"name": …, "arguments": …}`, which is read as it comes."""
    openings: tuple[str, ...] = ()
    """Possible beginnings of the text after `start`, without white space; NAME stands for a tool's name. Empty: any
    text."""
    last: tuple[str, ...] = ()
    """Possible ends of a call that lacks its end marker and still counts as whole."""
    proves: bool = False
    """`last` proves that nothing is missing, even if the answer was cut."""
    inner: tuple[str, ...] = ()
    """Markers between `start` and `end` that may be special tokens."""
    native: bool = True
    """The model was trained on this format, and mlx-lm knows it; False for ours."""

    @property
    def is_json(self) -> bool:
        return self.parse is None


GENERIC_TOOLS = ToolFormat(name=GENERIC, start="<tool_call>", end="</tool_call>", parse=None, native=False)
"""The format that the generic prompt asks for, and that constrained calls use if the model's own is not JSON."""

_HARMONY_TOOLS = ToolFormat(
    name="harmony",
    start=" to=functions.",
    end="<|call|>",
    parse=call_parsers.harmony,
    openings=("NAME<", "NAMEcommentary", "NAMEjson"),
    last=("}",),
    proves=True,
    inner=("<|message|>", "<|channel|>", "<|constrain|>"),
)

# Properties of mlx-lm's parsers that its modules do not have.
_KNOWN: dict[str, dict[str, Any]] = {
    "function_gemma": {"openings": ("call:NAME{",), "last": ("}",), "inner": ("<escape>",)},
    "gemma4": {"openings": ("call:NAME{",), "last": ("}",), "proves": True, "inner": ('<|"|>',)},
    "glm47": {
        "openings": ("NAME", "{"),
        "last": ("</arg_value>",),
        "inner": ("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
    },
    "kimi_k2": {
        "openings": ("<|tool_call_begin|>functions.NAME:", "<|tool_call_begin|>NAME:", "functions.NAME:", "NAME:"),
        "last": ("<|tool_call_end|>",),
        "proves": True,
        "inner": ("<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"),
    },
    "kimi_k3": {"openings": ("<|open|>call",), "last": ("<|close|>call<|sep|>",), "proves": True},
    "longcat": {
        "openings": ("NAME<longcat_arg_key>", "NAME</longcat_tool_call>", "{"),
        "last": ("</longcat_arg_value>",),
        "inner": ("<longcat_arg_key>", "</longcat_arg_key>", "<longcat_arg_value>", "</longcat_arg_value>"),
    },
    "minicpm5": {
        "openings": ('"NAME"', "'NAME'", "NAME>"),
        "last": ("</param>",),
        "inner": ("<function", "</function>", "<param", "</param>"),
    },
    "minimax_m2": {
        "openings": ('<invokename="NAME"', "<invokename='NAME'", "<invokename=NAME>"),
        "last": ("</invoke>",),
        "proves": True,
    },
    "mistral": {
        "openings": ("NAME[", "[{"),
        "last": ("}", "]"),
        "proves": True,
        "inner": ("[ARGS]", "[CALL_ID]"),
    },
    "muse_spark": {"openings": ("<atem:invoke",), "last": ("</atem:invoke>",), "proves": True},
    "pythonic": {"openings": ("[NAME(",), "last": ("]",), "proves": True},
    "qwen3_coder": {"openings": ("<function=NAME>",), "last": ("</function>",), "proves": True},
}
_KNOWN["laguna"] = _KNOWN["glm47"]

_THINK = ReasoningFormat(name="think", start="<think>", end="</think>")
_HARMONY = ReasoningFormat(
    name="harmony",
    start="<|channel|>analysis<|message|>",
    end="<|end|>",
    initial="header",
    transitions={
        "header": [
            ("<|channel|>analysis<|message|>", "reasoning"),
            ("<|channel|>final<|message|>", "normal"),
            ("<|channel|>final <|constrain|>json<|message|>", "normal"),
            ("<|channel|>commentary<|message|>", "normal"),
            (_HARMONY_TOOLS.start, "tool"),
        ],
        "reasoning": [("<|end|>", "header"), ("<|start|>assistant", "header")],
        "normal": [("<|end|>", "header"), ("<|start|>assistant", "header"), ("<|return|>", "normal")],
    },
    anywhere=True,
)
_REASONING = {
    "think": _THINK,
    "deepseek_r1": _THINK,
    "qwen3": _THINK,
    "glm47": _THINK,
    "longcat": ReasoningFormat(name="longcat", start="<longcat_think>", end="</longcat_think>"),
    "think_tokens": ReasoningFormat(name="think_tokens", start="<|think:start|>", end="<|think:end|>", anywhere=True),
    "gemma4": ReasoningFormat(name="gemma4", start="<|channel>thought", end="<channel|>", anywhere=True),
    "kimi_k3": ReasoningFormat(
        name="kimi_k3",
        start="<|open|>think<|sep|>",
        end="<|close|>think<|sep|>",
        structural=("<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>"),
        anywhere=True,
    ),
    "harmony": _HARMONY,
    "gpt_oss": _HARMONY,
}


def tool_format_names() -> list[str]:
    """Values of `--tool-call-parser`: mlx-lm's parsers, and ours."""
    return sorted({AUTO, NONE, GENERIC, "harmony", *_parser_modules()})


def reasoning_format_names() -> list[str]:
    """Values of `--reasoning-parser`."""
    return sorted({AUTO, NONE, *_REASONING})


@functools.cache
def _parser_modules() -> frozenset[str]:
    return frozenset(module.name for module in pkgutil.iter_modules(mlx_lm.tool_parsers.__path__))


def make_tool_format(name: str, tokenizer: Any) -> ToolFormat | None:
    """The format of this name; None for `none`. For `auto`, the format that mlx-lm found in the tokenizer (its
    `TokenizerWrapper`), or the generic one if it found none.

    Raises:
        ValueError: no format has this name.
    """
    if name == NONE:
        return None
    if name == GENERIC:
        return GENERIC_TOOLS
    if name == "harmony" or (name == AUTO and _is_harmony(tokenizer)):
        return _HARMONY_TOOLS
    if name in _parser_modules():
        return _from_module(name)
    if name != AUTO:
        raise ValueError(f"no tool call parser is named {name!r}; the names are: {', '.join(tool_format_names())}")
    if not tokenizer.has_tool_calling:
        return GENERIC_TOOLS
    module = tokenizer.tool_parser.__module__.rpartition(".")[2]
    found = _from_module(module) if module in _parser_modules() else _unknown(tokenizer)
    return attrs.evolve(found, start=tokenizer.tool_call_start, end=tokenizer.tool_call_end or "")


def _from_module(name: str) -> ToolFormat:
    module = importlib.import_module(f"mlx_lm.tool_parsers.{name}")
    parse = None if name == "json_tools" else call_parsers.careful(name, module.parse_tool_call)
    start, end = module.tool_call_start, module.tool_call_end
    return ToolFormat(name=name, start=start, end=end or "", parse=parse, **_KNOWN.get(name, {}))


def _unknown(tokenizer: Any) -> ToolFormat:
    return ToolFormat(name="custom", start=tokenizer.tool_call_start, end="", parse=tokenizer.tool_parser)


def make_reasoning_format(name: str, tokenizer: Any) -> ReasoningFormat | None:
    """The format of this name; for `auto`, that of the tokenizer (mlx-lm's `TokenizerWrapper`). None: there is none.

    Raises:
        ValueError: no format has this name.
    """
    if name == NONE:
        return None
    if name in _REASONING:
        return _REASONING[name]
    if name != AUTO:
        raise ValueError(f"no reasoning parser is named {name!r}; the names are: {', '.join(reasoning_format_names())}")
    if tokenizer.response_transitions:
        return _from_transitions(tokenizer)
    if tokenizer.has_thinking:
        known = [format for format in _REASONING.values() if format.start == tokenizer.think_start]
        found = known[0] if known else ReasoningFormat(name="custom", start="", end="")
        return attrs.evolve(
            found,
            start=tokenizer.think_start,
            end=tokenizer.think_end,
            structural=tuple(tokenizer.structural_markers),
        )
    if _is_harmony(tokenizer):
        return _HARMONY
    template = tokenizer.chat_template
    # Distilled models have no tokens for these markers, but their templates contain the text.
    return _THINK if isinstance(template, str) and "<think>" in template and "</think>" in template else None


def _from_transitions(tokenizer: Any) -> ReasoningFormat:
    """A format that mlx-lm describes by states, such as Muse Spark's."""
    transitions: Transitions = tokenizer.response_transitions
    starts = [marker for edges in transitions.values() for marker, state in edges if state == "reasoning"]
    ends = [marker for marker, _ in transitions.get("reasoning", ())]
    return ReasoningFormat(
        name="states",
        start=starts[0] if starts else "",
        end=ends[0] if ends else "",
        transitions=transitions,
        initial=tokenizer.response_initial_state or "normal",
        anywhere=True,
    )


def _is_harmony(tokenizer: Any) -> bool:
    vocabulary = tokenizer.get_vocab()
    return all(token in vocabulary for token in ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"))


def visible_tokens(tokenizer: Any, reasoning: ReasoningFormat | None, tools: ToolFormat | None) -> frozenset[int]:
    """Special tokens of this markup, whose text the detokeniser must not drop."""
    markers = "\n".join(_markers(reasoning, tools))
    added = tokenizer.added_tokens_decoder.items()
    ends = tokenizer.eos_token_ids
    return frozenset(
        id for id, token in added if token.special and id not in ends and token.content and token.content in markers
    )


def _markers(reasoning: ReasoningFormat | None, tools: ToolFormat | None) -> Iterable[str]:
    if reasoning is not None:
        yield from (reasoning.start, reasoning.end, *reasoning.structural)
        for edges in reasoning.transitions.values():
            yield from (marker for marker, _ in edges)
    if tools is not None:
        yield from (tools.start, tools.end, *tools.inner, *tools.openings, *tools.last)
