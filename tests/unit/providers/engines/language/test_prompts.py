"""Long texts on their way to tokens: the intake thread serves everybody, so none may keep it for long."""

from __future__ import annotations

from typing import Any, cast

import pytest

from providers.chat.types import TextPrompt
from providers.engines.language.prompts import PromptBuilder
from providers.errors import ContextLengthExceeded

LIMIT = 1000


class Tokenizer:
    """Four characters a token, but some tokens are a hundred; remembers how much it had to read."""

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


def test_what_no_tokenizer_could_fit_is_not_read_at_all() -> None:
    tokenizer = Tokenizer()
    with pytest.raises(ContextLengthExceeded, match="at least 20000 tokens"):
        build(tokenizer, "word" * 500_000)
    assert tokenizer.read == []


def test_a_part_is_enough_to_refuse_a_long_text() -> None:
    tokenizer = Tokenizer()
    with pytest.raises(ContextLengthExceeded, match="at least 3936 tokens"):
        build(tokenizer, "word" * 20_000)
    assert tokenizer.read == [16 * LIMIT]


def test_a_text_that_may_fit_is_read_once() -> None:
    tokenizer = Tokenizer()
    assert len(build(tokenizer, "word" * 900)) == 900
    assert tokenizer.read == [3600]
