"""The places of tokens in a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from providers.engine_host.frames import Locate, Located
from providers.errors import InvalidRequest
from tests.unit.providers.engines import tiny_encoders as tiny
from tests.unit.providers.engines.embeddings.stepped import Stepped


def test_the_tokens_of_a_text_are_located(tmp_path: Path) -> None:
    engine = Stepped(tiny.bert_folder(tmp_path / "bert")).engine
    text = "  red fish\n\nslow " + "dog " * 100
    located = engine.answer(Locate("q", text))
    assert isinstance(located, Located)
    assert located.starts[:4] == [2, 6, 12, 17]
    assert len(located.starts) == 103  # longer than the context, and without special tokens
    assert located.room == tiny.CONTEXT - 2
    assert engine.answer(Locate("q", "")) == Located("q", [], tiny.CONTEXT - 2)


def test_a_tokenizer_without_places_gives_those_of_words(tmp_path: Path) -> None:
    engine = Stepped(tiny.bert_folder(tmp_path / "bert")).engine

    class Slow:
        is_fast = False

        def num_special_tokens_to_add(self) -> int:
            return 2

        def __call__(self, texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
            return {"input_ids": [[1] * len(text) for text in texts]}

    engine._intake._tokenizer = Slow()
    assert engine.answer(Locate("q", " ab c")) == Located("q", [1, 1, 4], tiny.CONTEXT - 2)


def test_a_text_that_would_take_long_to_count_is_not_located(tmp_path: Path) -> None:
    engine = Stepped(tiny.bert_folder(tmp_path / "bert")).engine
    with pytest.raises(InvalidRequest, match="2000001 characters"):
        engine.answer(Locate("q", "a" * 2_000_001))
