"""Fill-in-the-middle: the tokens of each family of models, in its order."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from providers.chat.types import SamplingParams, TextPrompt, TokenPrompt
from providers.engines.language.prompts.builder import PromptBuilder
from providers.engines.language.prompts.infill import Infill, find_infill
from providers.errors import ContextLengthExceeded, UnsupportedParameter
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.inprocess import SteppedEngine


class Tokenizer:
    """A token per character; `marks` are tokens from 1000 on."""

    bos_token_id = 999
    eos_token_id = 998

    def __init__(self, *marks: str, begins: bool = False) -> None:
        self.marks = {mark: 1000 + place for place, mark in enumerate(marks)}
        self.begins = begins

    def get_vocab(self) -> dict[str, int]:
        return {"a": 97, **self.marks}

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        begin = [self.bos_token_id] if self.begins and add_special_tokens else []
        return [*begin, *text.encode()]


def build(tokenizer: Tokenizer, prompt: TextPrompt | TokenPrompt) -> Any:
    builder = PromptBuilder(tokenizer, cast(Any, None), None, vocabulary=2000, limit=4000, trimmable=True)
    return builder.build(prompt)


B, A = [*b"before"], [*b"after"]
FORMATS: list[tuple[tuple[str, ...], list[int]]] = [
    (("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>"), [1000, *B, 1001, *A, 1002]),
    (("<fim_prefix>", "<fim_suffix>", "<fim_middle>"), [1000, *B, 1001, *A, 1002]),
    (("▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"), [1000, *B, 1001, *A, 1002]),
    (("<\uff5cfim▁begin\uff5c>", "<\uff5cfim▁hole\uff5c>", "<\uff5cfim▁end\uff5c>"), [1000, *B, 1001, *A, 1002]),
    (("[PREFIX]", "[SUFFIX]", "[MIDDLE]"), [1001, *A, 1000, *B]),
    (("<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>"), [1001, *A, 1000, *B, 1002]),
]


@pytest.mark.parametrize(("marks", "tokens"), FORMATS, ids=[marks[0] for marks, _ in FORMATS])
@pytest.mark.parametrize("begins", [True, False])
def test_the_parts_are_marked_in_the_order_of_the_family(
    marks: tuple[str, ...], tokens: list[int], begins: bool
) -> None:
    tokenizer = Tokenizer(*marks, begins=begins)
    for prompt in (TextPrompt("before", "after"), TokenPrompt(B, "after")):
        built = build(tokenizer, prompt)
        assert built.tokens == [*([999] if begins else []), *tokens]
        assert {tokenizer.marks[mark] for mark in marks if mark != "[MIDDLE]"} <= built.ends


@pytest.mark.parametrize("marks", [(), ("<|fim_prefix|>", "<|fim_suffix|>"), ("<fim_middle>",)])
def test_a_tokenizer_without_all_tokens_fills_nothing_in(marks: tuple[str, ...]) -> None:
    assert find_infill(Tokenizer(*marks)) is None
    with pytest.raises(UnsupportedParameter, match="no tokens for filling in the middle") as refused:
        build(Tokenizer(*marks), TextPrompt("before", "after"))
    assert refused.value.param == "suffix"


def test_without_a_suffix_the_prompt_is_continued() -> None:
    built = build(Tokenizer(*FORMATS[0][0]), TextPrompt("before"))
    assert (built.tokens, built.ends) == (B, frozenset())


def test_a_suffix_that_cannot_fit_is_not_tokenised() -> None:
    with pytest.raises(ContextLengthExceeded):
        build(Tokenizer(*FORMATS[0][0]), TextPrompt("before", "a" * 10_000_000))


def test_a_token_of_another_file_ends_the_answer(tiny_folder: Path) -> None:
    sampling = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})
    plain = SteppedEngine(tiny_folder)
    marks = {"before": 2, "after": 3, "middle": 4, "after_first": False}
    plain.engine._intake._prompts._infill = Infill(**marks, ends=frozenset())  # type: ignore[arg-type]
    prompt = TextPrompt("hello", "ll")
    free = plain.ask("free", prompt, sampling=sampling, max_tokens=20, top_logprobs=0)
    pieces = [told.raw for told in free.logprobs]
    place = next(place for place in range(3, 20) if pieces[place] not in pieces[:place])
    id = next(id for id in range(len(tiny.vocabulary())) if plain.engine._text.piece(id)[1] == pieces[place])

    held = SteppedEngine(tiny_folder)
    held.engine._intake._prompts._infill = Infill(**marks, ends=frozenset({id}))  # type: ignore[arg-type]
    answer = held.ask("held", prompt, sampling=sampling, max_tokens=20)
    assert answer.finished is not None
    assert answer.finished.finish_reason == "stop"
    assert answer.text == b"".join(pieces[:place]).decode(errors="replace")
    assert not held.engine.busy
