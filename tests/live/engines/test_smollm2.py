"""SmolLM2-135M-Instruct, converted from its GGUF file, through the engine's socket."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.chat.types import SamplingParams, TextPrompt
from providers.weights import resolve
from tests.unit.providers.engines.client import GREEDY, EngineClient, chat

QUESTIONS = [
    "What is the capital of France?",
    "Tell me a story about a fox.",
    "What is two plus two?",
    "Name three colours.",
    "Who wrote Hamlet?",
    "Write about the sea.",
    "How do I boil an egg?",
    "Explain gravity.",
]

# A contended CPU decodes one or two tokens per second.
pytestmark = pytest.mark.timeout(600)


def test_the_capital_of_france_is_paris(engine: EngineClient) -> None:
    answer = engine.ask("paris", chat(("user", QUESTIONS[0])), max_tokens=24)
    assert "Paris" in answer.text
    assert answer.finished is not None
    assert answer.finished.finish_reason == "stop"
    assert "<|" not in answer.text


def test_a_seed_gives_the_same_answer_in_a_batch_and_outside(engine: EngineClient) -> None:
    seeded = SamplingParams(temperature=1.0, top_p=0.9, seed=11)
    prompt = chat(("user", "Invent a name for a cat."))
    alone = engine.ask("seed", prompt, sampling=seeded, max_tokens=12)
    twin = engine.generate("twin", prompt, sampling=seeded, max_tokens=12)
    free = SamplingParams(temperature=1.0)
    others = [engine.generate(f"o{i}", chat(("user", QUESTIONS[i])), sampling=free, max_tokens=12) for i in range(3)]
    engine.wait(twin, *others)
    assert twin.text == alone.text


def test_the_second_turn_reuses_the_first_from_the_prefix_cache(engine: EngineClient) -> None:
    opening = ("user", "Please remember this number for me: 4711. " * 8)
    first = engine.ask("turn1", chat(opening), max_tokens=8)
    second = engine.ask("turn2", chat(opening, ("assistant", first.text), ("user", "Thanks.")), max_tokens=4)
    assert first.accepted is not None
    assert second.accepted is not None
    assert second.accepted.cached_tokens >= first.accepted.prompt_tokens


def test_multibyte_characters_arrive_complete(engine: EngineClient) -> None:
    answer = engine.ask("bytes", TextPrompt("Привет! Привет! Привет! Привет!"), sampling=GREEDY, max_tokens=12)
    assert "Привет" in answer.text
    assert "\ufffd" not in answer.text[:-1]


def test_the_tokenizer_splits_text_as_in_training() -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(resolve("embedded:smollm2-135m-instruct")) / "tokenizer.json"))
    # Words and a turn's markers are one token each, digits are separate tokens.
    for text, ids in {
        "Hello, world!": [19556, 28, 905, 17],
        "<|im_start|>user\nhi<|im_end|>": [1, 4093, 198, 6004, 2],
        "12345": [33, 34, 35, 36, 37],
    }.items():
        assert tokenizer.encode(text, add_special_tokens=False).ids == ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text
