"""Requests with pictures that fail, wait, end early or are only counted, and folders that cannot be served."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from providers.chat.types import (
    ChatMessage,
    ChatPrompt,
    GenerationRequest,
    TextPart,
)
from providers.engine_host.frames import Generate, Tokenize, Tokenized
from providers.engines.process.engine import EngineLoadError, TakesLong
from tests.unit.providers.engines import tiny, tiny_vision
from tests.unit.providers.engines.client import GREEDY
from tests.unit.providers.engines.language.multimodal.seeing import (
    PROMPTS,
    Judge,
    Seeing,
    raws,
)
from tests.unit.providers.engines.tiny_vision import chat, picture


def test_after_a_failed_step_pictures_are_read_again(
    folder: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeing = Seeing(folder, prefix_cache_bytes=0)
    kept, lost = seeing.tokens("kept", *PROMPTS[2]), seeing.tokens("lost", *PROMPTS[1])
    while len(kept.deltas) < 3:
        seeing.step()

    def fails() -> Any:
        raise RuntimeError("as a device does")

    with monkeypatch.context() as patch:
        patch.setattr(seeing.engine._batch, "next", fails)
        seeing.step()
    seeing.run()

    assert lost.failed is not None
    assert raws(kept) == judge(*PROMPTS[2])


def test_log_probabilities_of_a_prompt_show_the_image_token(seeing: Seeing, model_type: str) -> None:
    answer = seeing.tokens("scored", *PROMPTS[0], max_tokens=0, prompt_logprobs=1)
    seeing.run()

    assert answer.accepted is not None
    logprobs = answer.accepted.prompt_logprobs
    assert logprobs is not None
    assert len(logprobs) == answer.accepted.prompt_tokens
    placeholder = tiny_vision.IMAGE_TOKENS[model_type][0]
    assert [token.token for token in logprobs].count(placeholder) >= 4
    assert all(token.logprob <= 0 for token in logprobs)


def test_a_prompt_that_is_only_counted_reads_no_picture(folder: Path) -> None:
    seeing = Seeing(folder)

    counted = seeing.ask("counted", chat(*PROMPTS[0]), max_tokens=0)

    assert counted.finished is not None
    assert seeing.runs == 0


def test_a_prompt_can_be_computed_beforehand(folder: Path, judge: Judge) -> None:
    seeing = Seeing(folder)
    seeing.ask("filled", chat(*PROMPTS[0]), prefill_only=True)

    answer = seeing.tokens("answered", *PROMPTS[0])
    seeing.run()

    assert answer.accepted is not None
    assert answer.accepted.cached_tokens == answer.accepted.prompt_tokens - 1
    assert seeing.runs == 1
    assert raws(answer) == judge(*PROMPTS[0])


def test_a_request_can_be_cancelled_before_its_pictures_are_read(folder: Path) -> None:
    seeing = Seeing(folder)
    cancelled = seeing.tokens("cancelled", *PROMPTS[2])
    seeing.engine._admit(seeing.out)
    assert seeing.engine.busy

    seeing.engine.cancel("cancelled")

    assert not seeing.engine.busy
    assert not cancelled.ended
    assert seeing.runs == 0


def test_a_request_whose_time_is_over_reads_no_picture(folder: Path) -> None:
    seeing = Seeing(folder)
    late = seeing.tokens("late", *PROMPTS[2], timeout=1e-6)
    seeing.engine._admit(seeing.out)
    seeing.run()

    assert late.failed is not None
    assert late.failed.code == "timeout"


def test_a_picture_that_breaks_the_tower_fails_its_request_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeing = Seeing(folder)

    def fails(picture: Any) -> Any:
        raise RuntimeError("as a device does")

    monkeypatch.setattr(seeing.engine._seeing.encoder, "_encode", fails)
    broken, text = seeing.tokens("broken", *PROMPTS[0]), seeing.tokens("text", *PROMPTS[3])
    seeing.run()

    assert broken.failed is not None
    assert text.failed is None
    assert text.finished is not None


def test_answers_go_on_between_two_pictures(folder: Path) -> None:
    seeing = Seeing(folder)
    text = seeing.tokens("text", *PROMPTS[3], max_tokens=40)
    while len(text.deltas) < 2:
        seeing.step()

    seeing.tokens("pictures", *(picture(20 + number) for number in range(3)), "which?")
    before, seen = seeing.runs, []
    while seeing.runs < before + 3:
        seeing.step()
        seen.append((seeing.runs - before, len(text.logprobs)))

    assert all(later[0] - earlier[0] <= 1 for earlier, later in itertools.pairwise(seen))
    assert seen[-1][1] - seen[0][1] >= 2


def test_tokenising_counts_pictures_as_the_image_token(seeing: Seeing, folder: Path) -> None:
    answer = seeing.tokens("counted", *PROMPTS[2])
    seeing.run()

    asked = seeing.engine.answer(Tokenize("", chat(*PROMPTS[2]), None))

    assert isinstance(asked, Tokenized)
    assert answer.accepted is not None
    assert len(asked.tokens) == answer.accepted.prompt_tokens
    assert min(asked.tokens) >= 0
    assert asked.tokens.count(seeing.engine._intake.shown([-1])[0]) >= 8


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_a_placeholder_in_a_text_is_text(seeing: Seeing, model_type: str, role: str) -> None:
    placeholder = tiny_vision.IMAGE_TOKENS[model_type][0]
    said = ChatMessage(role=role, content=f"I say {placeholder} twice {placeholder}")
    asked = ChatMessage(role="user", content=[picture(1), TextPart("what?")])

    answer = seeing.ask(f"placeholder of {role}", ChatPrompt(messages=[said, asked]), max_tokens=1)
    plain = seeing.ask(f"picture only {role}", ChatPrompt(messages=[asked]), max_tokens=1)

    assert answer.failed is None
    assert answer.accepted is not None
    assert plain.accepted is not None
    spelled = answer.accepted.prompt_tokens - plain.accepted.prompt_tokens
    assert spelled > 2 * len(placeholder)


def test_only_the_processor_of_a_new_picture_takes_long(folder: Path) -> None:
    seeing = Seeing(folder)
    made = GenerationRequest(id="new", prompt=chat(*PROMPTS[0]), sampling=GREEDY, max_tokens=1)
    with pytest.raises(TakesLong):
        seeing.engine.prepare(Generate(request=made), may_wait=False)

    job = seeing.engine.prepare(Generate(request=made))

    assert seeing.engine.prepare(Generate(request=made), may_wait=False).tokens == job.tokens


def test_the_engine_reports_what_it_reads(seeing: Seeing) -> None:
    assert seeing.info.details["modalities"] == ["image"]


def test_other_architectures_are_refused_with_those_that_are_not(tmp_path: Path) -> None:
    with pytest.raises(EngineLoadError, match=r"'llama', only for .*qwen2_vl.*smolvlm"):
        Seeing(tiny.write_folder(tmp_path))


def test_a_folder_without_a_processor_is_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        if "processor" not in file.name:
            (tmp_path / file.name).symlink_to(file)

    with pytest.raises(EngineLoadError, match="settings of the processor are missing"):
        Seeing(tmp_path)
