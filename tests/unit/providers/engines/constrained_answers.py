"""Answers under a constraint, with random logits in place of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from tokenizers import AddedToken, Tokenizer

from providers.chat.types import (
    Grammar,
    Tool,
    ToolChoice,
)
from providers.engines.structured.compiler import CompiledGrammar, GrammarCompiler
from providers.engines.structured.constraint import Calls, Constraint, ToolMarkup
from providers.engines.structured.processor import GrammarProcessor
from providers.errors import InvalidRequest
from tests.unit.providers.engines import tiny

PROMPT = [tiny.START, 40, 41]
PADDING = 9
"""Logits beyond the vocabulary, as real models have them."""
ADDED = ["<think>", "</think>", "<tool_call>", "</tool_call>"]
CLOSING = {'"': 3.0, "}": 3.0, "]": 3.0, ",": 1.0, ":": 1.0}
"""Preferences for tokens that end strings and objects; otherwise random strings have hundreds of tokens."""
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
LIMITS = settings(
    max_examples=80, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@attrs.frozen(kw_only=True)
class HuggingFace:
    """The part of a Hugging Face tokenizer that the compiler uses."""

    backend_tokenizer: Tokenizer | None


@attrs.frozen(kw_only=True)
class Answer:
    text: str
    ids: list[int]
    ended: bool
    processor: GrammarProcessor


def make_tokenizer() -> Tokenizer:
    made = tiny.tokenizer()
    made.add_tokens([AddedToken(token, special=False) for token in ADDED])
    made.add_special_tokens([AddedToken("<|call|>", special=True)])
    return made


TOKENIZER = make_tokenizer()
SIZE = TOKENIZER.get_vocab_size()
COMPILER = GrammarCompiler(HuggingFace(backend_tokenizer=TOKENIZER), SIZE, [tiny.END])


def compile_answer(grammar: Grammar, *, param: str = "x", **how: Any) -> CompiledGrammar:
    return COMPILER.compile(Constraint(param=param, answer=grammar, **how))


def compile_calls(tools: Sequence[Tool], choice: ToolChoice, markup: ToolMarkup) -> CompiledGrammar:
    return COMPILER.compile(Constraint(param="tools", calls=Calls(markup=markup, tools=tuple(tools), choice=choice)))


def preferences(wanted: dict[str, float]) -> np.ndarray:
    bias = np.zeros(SIZE + PADDING)
    for token, value in wanted.items():
        bias[TOKENIZER.token_to_id(token)] = value
    return bias


def answer(
    processor: GrammarProcessor,
    seed: int,
    *,
    tokens: int = 600,
    wanted: dict[str, float] | None = None,
    width: int = SIZE + PADDING,
    dtype: mx.Dtype = mx.float32,
) -> Answer:
    """Sample with random logits at temperature 1.5, as BatchGenerator calls a processor."""
    random = np.random.default_rng(seed)
    bias = preferences({**CLOSING, "<|end|>": 3.0, **(wanted or {})})[:width]
    fed, ids = list(PROMPT), []
    for _ in range(tokens):
        raw = mx.array(random.gumbel(size=(1, width)) + bias / 1.5, dtype=dtype)
        logits = processor(mx.array(fed), raw)
        assert logits.dtype == dtype
        chosen = int(mx.argmax(logits, axis=-1).item())
        if chosen == tiny.END:
            break
        fed.append(chosen)
        ids.append(chosen)
    return Answer(
        text=TOKENIZER.decode(ids, skip_special_tokens=False), ids=ids, ended=chosen == tiny.END, processor=processor
    )


def constrained(grammar: Grammar, seed: int, **how: Any) -> Answer:
    return answer(compile_answer(grammar, param="grammar").processor(), seed, **how)


def refusal(grammar: Grammar, param: str = "schema") -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        compile_answer(grammar, param=param)
    return caught.value
