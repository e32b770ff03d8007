"""The sampler that records log-probabilities, by itself."""

from __future__ import annotations

import math
from typing import Any

import mlx.core as mx
import pytest

from providers.engines.sampling.logprobs import FLOOR, LogprobRecorder

ROW = mx.array([[math.log(share) for share in (0.1, 0.4, 0.3, 0.2)]])


class Letters:
    """A vocabulary whose tokens are letters."""

    def piece(self, token: int) -> tuple[str, bytes]:
        letter = "abcd"[token]
        return letter, letter.encode()


def recorder(top: int, token: int = 2) -> LogprobRecorder:
    vocabulary: Any = Letters()
    return LogprobRecorder(lambda logits: mx.array([token]), vocabulary, top)


def test_the_chosen_token_and_the_likeliest_in_order() -> None:
    recording = recorder(3)
    assert recording(ROW).tolist() == [2]
    told = recording.take(2)
    assert (told.token, told.raw, told.logprob) == ("c", b"c", pytest.approx(math.log(0.3), abs=1e-5))
    assert [(text, raw) for text, raw, _ in told.top] == [("b", b"b"), ("c", b"c"), ("d", b"d")]
    assert [value for *_, value in told.top] == pytest.approx([math.log(0.4), math.log(0.3), math.log(0.2)], abs=1e-5)


def test_none_of_the_likeliest_without_a_wish_and_all_of_them_at_most() -> None:
    nothing, everything = recorder(0), recorder(9)
    nothing(ROW)
    everything(ROW)
    assert nothing.take(2).top == []
    assert [text for text, *_ in everything.take(2).top] == ["b", "c", "d", "a"]


def test_equally_likely_tokens_come_in_the_order_of_their_ids() -> None:
    recording = recorder(4)
    recording(mx.zeros((1, 4)))
    assert [text for text, *_ in recording.take(0).top] == ["a", "b", "c", "d"]


def test_logits_need_not_be_normalised_and_those_before_a_change_count() -> None:
    recording = recorder(1, token=0)
    before = ROW + 5.0
    assert recording.note_logits(mx.array([1]), before) is before
    recording(mx.array([[100.0, 0.0, 0.0, 0.0]]))
    told = recording.take(0)
    assert told.logprob == pytest.approx(math.log(0.1), abs=1e-4)
    assert [text for text, *_ in told.top] == ["b"]


def test_half_precision_is_summed_in_full() -> None:
    recording = recorder(1)
    recording(mx.zeros((1, 4)).astype(mx.float16))
    assert recording.take(2).logprob == pytest.approx(math.log(0.25), abs=1e-6)


def test_a_token_that_is_ruled_out_has_the_least_value_that_json_can_hold() -> None:
    recording = recorder(2, token=0)
    recording(mx.array([[-math.inf, 0.0, -math.inf, -math.inf]]))
    told = recording.take(0)
    assert told.logprob == FLOOR == -9999.0
    assert [value for *_, value in told.top] == [0.0, FLOOR]


def test_steps_are_taken_in_their_order() -> None:
    recording = recorder(0)
    recording(ROW)
    recording(mx.zeros((1, 4)))
    assert [recording.take(2).logprob for _ in range(2)] == pytest.approx([math.log(0.3), math.log(0.25)], abs=1e-5)


def test_the_sampler_draws_from_the_logits_of_the_step() -> None:
    vocabulary: Any = Letters()
    recording = LogprobRecorder(lambda logits: mx.argmax(logits, axis=-1), vocabulary, 0)
    recording.note_logits(mx.array([1]), ROW)
    assert recording(mx.array([[0.0, 0.0, 0.0, 9.0]])).tolist() == [3]
    assert recording.take(3).logprob == pytest.approx(math.log(0.2), abs=1e-5)


@pytest.mark.parametrize("top", [0, 2])
def test_all_that_is_read_later_is_computed_with_the_step(top: int, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[Any] = []
    monkeypatch.setattr(mx, "async_eval", lambda *arrays: launched.extend(each for each in arrays if each is not None))
    recording = recorder(top)
    drawn = recording(ROW)
    assert drawn is launched[0]
    read: list[float] = [value for array in launched[1:] for row in array.tolist() for value in row]
    taken = recording.take(2)
    values = [taken.logprob, *(value for *_, value in taken.top)]
    ids = ["abcd".index(text) for text, *_ in taken.top]
    assert {*values, *ids} <= {*read}
