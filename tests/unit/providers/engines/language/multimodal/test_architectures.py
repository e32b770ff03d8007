"""What differs from architecture to architecture, beyond the answers: placeholders, caches that forget, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from providers.chat.types import ChatMessage, ChatPrompt, TextPart
from providers.engines.process.engine import EngineLoadError
from providers.engines.vision.architectures import ARCHITECTURES, REFUSED
from tests.unit.providers.engines import tiny, tiny_vision
from tests.unit.providers.engines.language.multimodal.seeing import FAMILIES, OTHERS, Judge, Seeing, raws, turns
from tests.unit.providers.engines.tiny_vision import picture


def test_every_architecture_is_tested_for_the_answers_of_mlx_vlm() -> None:
    assert {*FAMILIES, *OTHERS} == ARCHITECTURES.keys() - {"lfm2-vl"}


@pytest.mark.parametrize("model_type", ["gemma3", "lfm2_vl", "llava"])
def test_a_second_turn_runs_no_tower_and_answers_as_a_new_conversation(tmp_path: Path, model_type: str) -> None:
    """Layers of Gemma 3 forget what is far behind, and those of LFM2 keep a state instead of tokens."""
    folder = tiny_vision.write_folder(tmp_path, model_type)
    seeing, fresh = Seeing(folder), Seeing(folder, prefix_cache_bytes=0)
    first = seeing.ask("first", turns(), max_tokens=4)
    assert seeing.runs == 1

    more = turns(first.text, "and now?")
    second = seeing.ask("second", more, max_tokens=8, top_logprobs=0)

    assert seeing.runs == 1
    assert raws(second) == raws(fresh.ask("second", more, max_tokens=8, top_logprobs=0))


@pytest.mark.parametrize("model_type", ["gemma3", "internvl_chat", "lfm2_vl"])
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_what_stands_for_a_picture_is_text_in_a_text(tmp_path: Path, model_type: str, role: str) -> None:
    seeing = Seeing(tiny_vision.write_folder(tmp_path, model_type))
    texts = [tiny_vision.IMAGE[model_type], tiny_vision.IMAGE_TOKENS[model_type][0]]
    asked = ChatMessage(role="user", content=[picture(1), TextPart("what?")])
    plain = seeing.ask("plain", ChatPrompt(messages=[asked]), max_tokens=1)
    assert plain.accepted is not None

    for text in texts:
        said = ChatMessage(role=role, content=f"I say {text} twice {text}")
        answer = seeing.ask(text, ChatPrompt(messages=[said, asked]), max_tokens=1)
        assert answer.failed is None
        assert answer.accepted is not None
        assert answer.accepted.prompt_tokens - plain.accepted.prompt_tokens > 2 * len(text)


def test_texts_beside_a_picture_are_tokenised_with_what_the_processor_writes(tmp_path: Path) -> None:
    folder = tiny_vision.write_folder(tmp_path, "gemma3", merges=[("\u010a", "\u010a"), ("\u010a\u010a", "\u010a")])
    seeing = Seeing(folder)
    parts = ("what\n", picture(1), "\nis it?")

    answer = seeing.tokens("lines", *parts)
    seeing.run()

    assert raws(answer) == Judge(folder, "gemma3", seeing)(*parts)
    assert answer.accepted is not None
    # Three line breaks before the picture are one token; of those behind it the last one begins a word.
    assert answer.accepted.prompt_tokens == len("<user\nwhat*<....>*.is it?><")


def test_a_template_of_texts_only_gets_pictures_on_lines_of_their_own(tmp_path: Path) -> None:
    """As the templates of InternVL's tokenizers are, and as its own program writes pictures."""
    folder = tiny_vision.write_folder(tmp_path, "internvl_chat")
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": tiny.TEMPLATE}))
    seeing = Seeing(folder)

    answer = seeing.tokens("lines", picture(1), "what is it?")
    seeing.run()

    assert raws(answer) == Judge(folder, "internvl_chat", seeing)(picture(1), "\nwhat is it?")


@pytest.mark.parametrize("model_type", REFUSED)
def test_architectures_that_cannot_be_served_are_refused_with_the_reason(tmp_path: Path, model_type: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    (tmp_path / "model.safetensors").touch()

    with pytest.raises(EngineLoadError, match=REFUSED[model_type]):
        Seeing(tmp_path)
