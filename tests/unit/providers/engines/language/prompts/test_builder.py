"""Tokenization of long texts: all requests share the intake thread, so that none may occupy it for long."""

from __future__ import annotations

from typing import Any, cast

import pytest

from providers.chat.types import TextPrompt
from providers.engines.language.prompts.builder import PromptBuilder
from providers.errors import ContextLengthExceeded

LIMIT = 1000


class Tokenizer:
    """A tokenizer of four characters per token, with tokens of up to a hundred. It counts the characters it reads."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def get_vocab(self) -> dict[str, int]:
        return {"a" * 100: 0, "word": 1}

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        self.read.append(len(text))
        return [1] * (len(text) // 4)


def build(tokenizer: Tokenizer, text: str) -> list[int]:
    prompter = cast(Any, None)  # raw text asks for no tools
    builder = PromptBuilder(tokenizer, prompter, None, vocabulary=2, limit=LIMIT, trimmable=True)
    return builder.build(TextPrompt(text)).tokens


def test_a_text_too_long_for_any_tokenizer_is_not_tokenised() -> None:
    tokenizer = Tokenizer()
    with pytest.raises(ContextLengthExceeded, match="at least 20000 tokens"):
        build(tokenizer, "word" * 500_000)
    assert tokenizer.read == []


def test_a_long_text_is_refused_after_tokenising_a_part() -> None:
    tokenizer = Tokenizer()
    with pytest.raises(ContextLengthExceeded, match="at least 3936 tokens"):
        build(tokenizer, "word" * 20_000)
    assert tokenizer.read == [16 * LIMIT]


def test_a_text_that_may_fit_is_tokenised_once() -> None:
    tokenizer = Tokenizer()
    assert len(build(tokenizer, "word" * 900)) == 900
    assert tokenizer.read == [3600]
