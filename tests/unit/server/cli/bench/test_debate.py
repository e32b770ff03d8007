"""The debate of `bench`: the messages of each debater, and the results."""

from __future__ import annotations

import math

import pytest

from server.cli.bench.debate import DebateResult, DebateTurn, make_brief, messages_of, same_answers

BRIEF = "a brief"


def turn(debater: int, number: int, seconds: float, text: str = "") -> DebateTurn:
    return DebateTurn(
        debater=debater, number=number, prompt_tokens=0, cached_tokens=0, first_token_seconds=seconds, text=text
    )


def test_a_debater_s_own_statements_are_assistant_turns_and_the_other_s_are_user_turns() -> None:
    first, second = messages_of(0, BRIEF, ["a1", "b1", "a2", "b2"]), messages_of(1, BRIEF, ["a1", "b1", "a2"])
    assert [message["role"] for message in first] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert [message["content"] for message in first[2:]] == ["a1", "b1", "a2", "b2"]
    assert [message["role"] for message in second] == ["system", "user", "assistant", "user"]
    assert second[1]["content"].endswith("a1")
    assert [message["content"] for message in second[2:]] == ["b1", "a2"]
    assert first[0] != second[0]


@pytest.mark.parametrize("debater", [0, 1])
def test_a_turn_continues_the_conversation_of_the_one_before(debater: int) -> None:
    transcript = ["a1", "b1", "a2", "b2", "a3"]
    before, after = messages_of(debater, BRIEF, transcript[: 2 + debater]), messages_of(debater, BRIEF, transcript)
    assert after[: len(before)] == before


def test_ratios_are_to_the_same_debater_s_first_turn() -> None:
    result = DebateResult(turns=(turn(0, 1, 10.0), turn(1, 1, 5.0), turn(0, 2, 1.0), turn(1, 2, 1.0)))
    assert result.ratios == [0.1, 0.2]
    assert result.worst_ratio == 0.2
    assert math.isnan(DebateResult(turns=(turn(0, 1, 1.0),)).worst_ratio)


def test_the_share_of_equal_answers() -> None:
    one = DebateResult(turns=(turn(0, 1, 1.0, "a"), turn(1, 1, 1.0, "b")))
    other = DebateResult(turns=(turn(0, 1, 9.0, "a"), turn(1, 1, 9.0, "c")))
    assert (same_answers(one, one), same_answers(one, other)) == (1.0, 0.5)


def test_briefs_of_two_seeds_have_no_beginning_in_common() -> None:
    one, other = make_brief(1, 5), make_brief(2, 5)
    assert make_brief(1, 5) == one
    assert one.split(".")[0] != other.split(".")[0]
