"""A later turn continues the kept prompt, pictures included, and runs no tower."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from providers.engines.language.speculation.worth import Always
from providers.errors import OutOfMemory
from tests.unit.providers.engines.language.multimodal.seeing import (
    PROMPTS,
    TOKENS,
    Judge,
    Seeing,
    raws,
    turns,
)
from tests.unit.providers.engines.language.speculation.foresight import Foresight
from tests.unit.providers.engines.tiny_vision import chat


def test_a_second_turn_runs_no_tower_and_continues_the_kept_prompt(folder: Path) -> None:
    seeing = Seeing(folder)
    first = seeing.ask("first", turns(), max_tokens=4)
    assert first.accepted is not None
    assert seeing.runs == 1

    second = seeing.ask("second", turns("a hello", "and now?"), max_tokens=4)

    assert second.accepted is not None
    assert (first.accepted.pictures_encoded, second.accepted.pictures_encoded) == (1, 0)
    assert seeing.runs == 1
    assert second.accepted.cached_tokens >= first.accepted.prompt_tokens - 1


def test_the_kept_prompt_is_enough_without_the_features(folder: Path) -> None:
    seeing = Seeing(folder)
    seeing.ask("first", turns(), max_tokens=4)
    seeing.engine._seeing.encoder._kept.max_bytes = 0
    seeing.engine._seeing.encoder._kept.put("another", mx.array(0), 0)

    seeing.ask("second", turns("a hello", "and now?"), max_tokens=4)

    assert seeing.runs == 1


def test_features_are_computed_again_when_neither_is_kept(folder: Path, judge: Judge) -> None:
    seeing = Seeing(folder, prefix_cache_bytes=0)
    seeing.engine._seeing.encoder._kept.max_bytes = 0

    for number in range(2):
        answer = seeing.tokens(f"{number}", *PROMPTS[0])
        seeing.run()
        assert raws(answer) == judge(*PROMPTS[0])

    assert seeing.runs == 2


def test_kept_features_give_way_to_a_prompt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeing = Seeing(folder)
    seeing.ask("kept", chat(*PROMPTS[0]), max_tokens=1)
    memory, asked = seeing.engine._memory, []

    def is_short(*_: Any) -> None:
        asked.append(seeing.engine._seeing.encoder._kept.nbytes)
        if asked[-1]:
            raise OutOfMemory("too little")

    monkeypatch.setattr(memory, "make_room", is_short)
    answer = seeing.ask("text", chat(*PROMPTS[3]), max_tokens=1)

    assert answer.failed is None
    assert asked[0] > 0
    assert asked[-1] == 0


def test_kept_prompts_with_pictures_get_no_file(folder: Path, tmp_path: Path) -> None:
    seeing = Seeing(folder, prefix_cache_dir=str(tmp_path / "kept"))
    seeing.ask("text", chat(*PROMPTS[3]), max_tokens=2)
    seeing.ask("picture", chat(*PROMPTS[0]), max_tokens=2)
    while seeing.engine.use_idle_time():
        pass

    assert len(list((tmp_path / "kept").glob("*/*.safetensors"))) == 1
    again = seeing.ask("again", chat(*PROMPTS[0]), max_tokens=2)
    assert again.failed is None


def test_kept_texts_are_read_from_their_files(folder: Path, tmp_path: Path) -> None:
    before = Seeing(folder, prefix_cache_dir=str(tmp_path))
    first = before.ask("text", "hello " * 20, max_tokens=TOKENS)
    more = f"{'hello ' * 20}{first.text} and more"
    expected = before.ask("more", more, max_tokens=TOKENS, cache_salt="of its own")
    while before.engine.use_idle_time():
        pass

    after = Seeing(folder, prefix_cache_dir=str(tmp_path))
    again = after.ask("again", more, max_tokens=TOKENS)

    assert again.text == expected.text
    assert again.accepted is not None
    assert again.accepted.cached_tokens > 0


def test_a_bounded_cache_leaves_positions_as_they_are(folder: Path) -> None:
    seeing = Seeing(folder, max_kv_size=32)

    answers = [seeing.tokens(f"{number}", *parts) for number, parts in enumerate(PROMPTS)]
    seeing.run()
    again = seeing.ask("again", chat(*PROMPTS[2], "and then?"), max_tokens=TOKENS)

    assert [answer.failed for answer in (*answers, again)] == [None] * 5


def test_speculation_proposes_no_picture(folder: Path, judge: Judge) -> None:
    seeing = Seeing(folder, prompt_lookup=4, prefix_cache_bytes=0)

    answer = seeing.ask("looked up", chat(*PROMPTS[0], "what is "), max_tokens=30)
    plain = Seeing(folder, prefix_cache_bytes=0).ask("plain", chat(*PROMPTS[0], "what is "), max_tokens=30)

    assert answer.text == plain.text


def test_answers_about_pictures_are_cut_together_each_at_its_own_place(folder: Path) -> None:
    plain = Seeing(folder, dtype="float32", prefix_cache_bytes=0)
    texts, expected = [], []
    for parts in PROMPTS:
        expected.append(plain.submit("plain", chat(*parts), max_tokens=40))
        text: list[int] = []
        while plain.engine.busy:
            plain.step()
            text = next(iter(plain.engine._batch.generator.decoding.tokens), text)
        texts.append(text)
    seeing = Seeing(folder, dtype="float32", prefix_cache_bytes=0, prompt_lookup=4)
    speculation = seeing.engine._speculation
    assert speculation is not None
    speculation.worth, speculation._proposer = Always(), Foresight(texts)

    answers = [seeing.submit(f"{n}", chat(*parts), max_tokens=40) for n, parts in enumerate(PROMPTS)]
    seeing.run()

    assert [answer.text for answer in answers] == [answer.text for answer in expected]
    assert 40 < speculation.tally.accepted < speculation.tally.proposed


def test_quantised_keys_leave_positions_as_they_are(folder: Path) -> None:
    seeing = Seeing(folder, kv_bits=8, kv_group_size=32, dtype="float32")

    answers = [seeing.tokens(f"{number}", *parts) for number, parts in enumerate(PROMPTS)]
    seeing.run()

    assert all(answer.failed is None for answer in answers)
