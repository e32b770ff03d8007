"""The language-model engine over its socket: batching, ends, cancellation, limits, the prefix cache."""

from __future__ import annotations

from typing import Any

import pytest

from providers.chat.types import (
    SamplingParams,
    TextPrompt,
    TokenPrompt,
)
from tests.unit.providers.engines import tiny
from tests.unit.providers.engines.client import EngineClient, chat

NO_END = SamplingParams(temperature=0.0, logit_bias={tiny.END: -100.0})
PROMPTS = [f"prompt number {number} " * (number + 1) for number in range(8)]


def test_an_answer_is_accepted_streamed_and_finished_with_usage(engine: EngineClient) -> None:
    answer = engine.ask("one", "hello world", sampling=NO_END, max_tokens=20)
    assert answer.accepted is not None
    assert answer.finished is not None
    assert answer.finished.finish_reason == "length"
    assert answer.finished.usage.prompt_tokens == answer.accepted.prompt_tokens
    assert answer.finished.usage.completion_tokens == 20
    assert answer.text
    assert answer.finished.prefill_seconds > 0
    assert answer.finished.decode_seconds > 0


def test_eight_answers_in_a_batch_equal_the_separate_ones(engine: EngineClient) -> None:
    batch = [engine.generate(f"b{i}", prompt, sampling=NO_END, max_tokens=24) for i, prompt in enumerate(PROMPTS)]
    engine.wait(*batch)
    alone = [engine.ask(f"a{i}", prompt, sampling=NO_END, max_tokens=24) for i, prompt in enumerate(PROMPTS)]
    assert [answer.text for answer in batch] == [answer.text for answer in alone]


def test_more_requests_than_rows_are_all_answered(engine: EngineClient) -> None:
    answers = [engine.generate(f"many{i}", f"{i}", sampling=NO_END, max_tokens=5 + i) for i in range(20)]
    engine.wait(*answers)
    assert [a.finished.usage.completion_tokens for a in answers if a.finished] == [5 + i for i in range(20)]


@pytest.mark.parametrize("tokens", [1, 2, 24])
def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(engine: EngineClient, tokens: int) -> None:
    free = engine.ask(f"free{tokens}", "stop me", sampling=NO_END, max_tokens=24).text
    stop = free[len(free) // 2 :][: 3 + tokens]
    cut = engine.ask(f"cut{tokens}", "stop me", sampling=NO_END, max_tokens=24, stop=["never this", stop])
    assert cut.text == free[: free.index(stop)]
    assert cut.finished is not None
    assert (cut.finished.finish_reason, cut.finished.stop) == ("stop", stop)


def test_a_stop_string_on_the_very_last_token_is_a_stop(engine: EngineClient) -> None:
    length = 16
    free = engine.ask("last0", "the last one", sampling=NO_END, max_tokens=length)
    assert free.finished is not None
    assert free.finished.finish_reason == "length"
    last = free.deltas[-1].text[-1]
    first_at = free.text.index(last)
    answer = engine.ask("last1", "the last one", sampling=NO_END, max_tokens=length, stop=[free.text[: first_at + 1]])
    assert answer.finished is not None
    assert (answer.text, answer.finished.finish_reason) == ("", "stop")
    whole = engine.ask("last2", "the last one", sampling=NO_END, max_tokens=length, stop=[free.text])
    assert whole.finished is not None
    assert (whole.text, whole.finished.finish_reason) == ("", "stop")
    assert whole.finished.usage.completion_tokens == length


def test_text_held_back_for_a_stop_string_leaves_at_the_end(engine: EngineClient) -> None:
    free = engine.ask("held0", "hold back", sampling=NO_END, max_tokens=12).text
    held = engine.ask("held1", "hold back", sampling=NO_END, max_tokens=12, stop=[free + "and more"])
    assert held.finished is not None
    assert (held.text, held.finished.finish_reason) == (free, "length")


def test_the_end_token_is_a_stop_without_text(engine: EngineClient) -> None:
    forced = SamplingParams(temperature=0.0, logit_bias={tiny.END: 100.0})
    answer = engine.ask("end", "anything", sampling=forced, max_tokens=1)
    assert answer.finished is not None
    assert (answer.text, answer.finished.finish_reason) == ("", "stop")


def test_seeds_hold_inside_a_batch(engine: EngineClient) -> None:
    seeded = SamplingParams(temperature=1.0, top_p=0.95, seed=42, logit_bias={tiny.END: -100.0})
    noisy = SamplingParams(temperature=1.0, logit_bias={tiny.END: -100.0})
    alone = engine.ask("s0", "seeds", sampling=seeded, max_tokens=20).text
    others = [engine.generate(f"n{i}", prompt, sampling=noisy, max_tokens=20) for i, prompt in enumerate(PROMPTS[:6])]
    twins = [engine.generate(f"s{i}", "seeds", sampling=seeded, max_tokens=20) for i in (1, 2)]
    engine.wait(*others, *twins)
    assert [twin.text for twin in twins] == [alone, alone]
    other = SamplingParams(temperature=1.0, top_p=0.95, seed=43, logit_bias={tiny.END: -100.0})
    assert engine.ask("s3", "seeds", sampling=other, max_tokens=20).text != alone


def test_a_cancelled_request_gets_no_more_events_and_its_place_is_free(engine: EngineClient) -> None:
    gone = engine.generate("gone", "cancel me", sampling=NO_END, max_tokens=400)
    while not gone.deltas:
        engine.pump()
    engine.cancel("gone")
    engine.wait(engine.generate("after", "something else", sampling=NO_END, max_tokens=3))
    told = len(gone.deltas)
    engine.wait(engine.generate("after that", "something else", sampling=NO_END, max_tokens=30))
    assert not gone.ended
    assert len(gone.deltas) == told < 390


def test_what_a_cancelled_request_had_computed_is_reused(engine: EngineClient) -> None:
    prompt = "a prompt that is worth keeping, because it is rather long " * 3
    gone = engine.generate("kept", prompt, sampling=NO_END, max_tokens=300)
    while not gone.deltas:
        engine.pump()
    engine.cancel("kept")
    again = engine.ask("again", prompt, sampling=NO_END, max_tokens=2)
    assert again.accepted is not None
    assert again.accepted.cached_tokens == again.accepted.prompt_tokens - 1


def test_a_request_over_its_timeout_fails_and_the_others_go_on(engine: EngineClient) -> None:
    other = engine.generate("patient", "patient", sampling=NO_END, max_tokens=100)
    late = engine.generate("late", "late", sampling=NO_END, max_tokens=400, timeout=0.02)
    engine.wait(other, late)
    assert late.failed is not None
    assert late.failed.code == "timeout"
    assert other.finished is not None
    assert other.finished.usage.completion_tokens == 100


def test_a_request_times_out_while_it_waits_for_a_row(engine: EngineClient) -> None:
    rows = [engine.generate(f"row{i}", PROMPTS[i], sampling=NO_END, max_tokens=300) for i in range(8)]
    late = engine.generate("ninth", "ninth", sampling=NO_END, max_tokens=3, timeout=0.01)
    engine.wait(late)
    assert late.failed is not None
    assert late.failed.code == "timeout"
    assert late.accepted is None
    for i in range(8):
        engine.cancel(f"row{i}")
    assert not any(row.ended for row in rows)


def test_a_conversation_reuses_its_own_prefix_though_two_are_interleaved(engine: EngineClient) -> None:
    talks: list[list[tuple[str, str]]] = [[("system", f"You are speaker {name}."), ("user", "Begin.")] for name in "AB"]
    for turn in range(3):
        for number, talk in enumerate(talks):
            answer = engine.ask(f"talk{number}-{turn}", chat(*talk), sampling=NO_END, max_tokens=8)
            assert answer.accepted is not None
            if turn:
                spoken = "".join(role + content for role, content in talk[:-2])
                assert answer.accepted.cached_tokens >= len(spoken)
            talk += [("assistant", answer.text), ("user", f"Go on {turn}.")]


def test_a_prompt_is_reused_while_its_first_answer_is_still_being_generated(engine: EngineClient) -> None:
    first = engine.generate("long", "another that is worth it, at length", sampling=NO_END, max_tokens=400)
    while not first.deltas:
        engine.pump()
    second = engine.ask("meanwhile", "another that is worth it, at last", sampling=NO_END, max_tokens=6)
    assert not first.ended
    assert second.accepted is not None
    assert second.accepted.cached_tokens >= second.accepted.prompt_tokens - len("ast")
    engine.cancel("long")
    again = engine.ask("alone again", "another that is worth it, at last", sampling=NO_END, max_tokens=6)
    assert again.text == second.text


def test_a_prompt_seen_before_leaves_one_token_to_feed(engine: EngineClient) -> None:
    first = engine.ask("twice0", "exactly the same prompt", sampling=NO_END, max_tokens=6)
    second = engine.ask("twice1", "exactly the same prompt", sampling=NO_END, max_tokens=6)
    assert second.accepted is not None
    assert second.accepted.cached_tokens == second.accepted.prompt_tokens - 1
    assert second.text == first.text


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [(chat(*[("user", ""), ("user", "")] * 15), 1), (TextPrompt(""), 1), (TokenPrompt([]), 1)],
    ids=["thirty empty turns", "empty text", "no tokens"],
)
def test_empty_prompts_are_answered(engine: EngineClient, prompt: Any, tokens: int) -> None:
    answer = engine.ask("empty", prompt, max_tokens=3)
    assert answer.accepted is not None
    assert answer.accepted.prompt_tokens >= tokens
    assert answer.finished is not None


@pytest.mark.parametrize(
    ("request_", "param", "words"),
    [
        ({"prompt": chat()}, "messages", "empty"),
        ({"prompt": chat(("poison", "x"))}, "messages", "no such role"),
        ({"prompt": chat(("user", "x"), tokenize=True)}, "chat_template_kwargs.tokenize", "tokenize"),
        ({"prompt": TokenPrompt([tiny.CONTEXT * 100])}, "prompt", "vocabulary"),
        ({"prompt": TokenPrompt([-1])}, "prompt", "vocabulary"),
        ({"sampling": SamplingParams(logit_bias={len(tiny.vocabulary()): 1.0})}, "logit_bias", "vocabulary"),
        ({"sampling": SamplingParams(temperature=float("nan"))}, "temperature", "temperature"),
        ({"max_tokens": -2}, "max_tokens", "at least 0"),
        ({"timeout": float("nan")}, "timeout", "timeout"),
        ({"max_reasoning_tokens": -1}, "max_reasoning_tokens", "at least 0"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    engine: EngineClient, request_: dict[str, Any], param: str, words: str
) -> None:
    failed = engine.ask("refused", request_.pop("prompt", "x"), **request_).failed
    assert failed is not None
    assert failed.code == "invalid_request_error"
    assert failed.param == param
    assert words in failed.message


def test_template_arguments_reach_the_template(engine: EngineClient) -> None:
    plain = engine.ask("kw0", chat(("user", "x")), max_tokens=1)
    longer = engine.ask("kw1", chat(("user", "x"), suffix="abcd"), max_tokens=1)
    assert plain.accepted is not None
    assert longer.accepted is not None
    assert longer.accepted.prompt_tokens == plain.accepted.prompt_tokens + 4


@pytest.mark.parametrize("max_tokens", [None, 1])
def test_a_prompt_that_does_not_fit_the_context_is_refused_with_counts(
    engine: EngineClient, max_tokens: int | None
) -> None:
    failed = engine.ask("long", TextPrompt("x" * (tiny.CONTEXT + 3)), max_tokens=max_tokens).failed
    assert failed is not None
    assert failed.code == "context_length_exceeded"
    assert failed.param == "prompt"
    assert all(count in failed.message for count in ("512", "515"))


@pytest.mark.parametrize("max_tokens", [6, 32_768, 2**31 - 1, -1])
def test_a_bound_beyond_the_room_of_the_context_is_clamped(engine: EngineClient, max_tokens: int) -> None:
    prompt = TextPrompt("x" * (tiny.CONTEXT - 5))
    answer = engine.ask("clamped", prompt, sampling=NO_END, max_tokens=max_tokens)
    assert answer.finished is not None
    assert (answer.finished.usage.completion_tokens, answer.finished.finish_reason) == (5, "length")


def test_a_character_that_the_length_cuts_in_two_is_left_out(engine: EngineClient) -> None:
    first_half_of_e_acute = tiny.vocabulary().index("\N{LATIN CAPITAL LETTER A WITH TILDE}")
    forced = SamplingParams(temperature=0.0, logit_bias={first_half_of_e_acute: 100.0})
    answer = engine.ask("half", "anything", sampling=forced, max_tokens=1)
    assert answer.finished is not None
    assert (answer.text, answer.finished.finish_reason) == ("", "length")


def test_a_huge_prompt_is_refused_without_being_counted(engine: EngineClient) -> None:
    failed = engine.ask("huge", TextPrompt("x" * 5_000_000)).failed
    assert failed is not None
    assert failed.code == "context_length_exceeded"
    assert "at least" in failed.message


def test_without_max_tokens_the_answer_may_fill_the_context(engine: EngineClient) -> None:
    answer = engine.ask("fill", TextPrompt("x" * (tiny.CONTEXT - 40)), sampling=NO_END)
    assert answer.finished is not None
    assert answer.finished.usage.completion_tokens == 40
    assert answer.finished.finish_reason == "length"
