"""Tokens of a window become segments that follow each other, as OpenAI's own program cuts them."""

from __future__ import annotations

from typing import Any

import pytest
from mlx_audio.stt.models.whisper.decoding import DecodingResult

from providers.engines.transcription.segments import cut, in_order, to_segments
from providers.engines.transcription.tokenizer import Tokenizer, get_tokenizer
from providers.transcription.types import Segment, Word


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return get_tokenizer(False)


def at(tokenizer: Tokenizer, seconds: float) -> int:
    return int(tokenizer.timestamp_begin) + round(seconds / 0.02)


def segments(tokenizer: Tokenizer, tokens: list[int], **where: int) -> tuple[list[Segment], int]:
    made = cut(tokens, tokenizer, **where)
    result: Any = DecodingResult(
        audio_features=None,
        language="en",
        tokens=tokens,
        avg_logprob=-0.1,
        no_speech_prob=0.1,
        temperature=0.0,
        compression_ratio=1.0,
    )
    return list(to_segments(made.pieces, result, None, tokenizer)), made.heard


def test_two_timestamps_in_a_row_end_a_segment_and_begin_the_next(tokenizer: Tokenizer) -> None:
    one, two = tokenizer.encode(" one"), tokenizer.encode(" two")
    tokens = [at(tokenizer, 0.0), *one, at(tokenizer, 1.0), at(tokenizer, 1.5), *two, at(tokenizer, 2.0)]

    made, heard = segments(tokenizer, tokens, begin=100, frames=3000)

    assert [(each.text, each.start, each.end) for each in made] == [
        (" one", pytest.approx(1.0), pytest.approx(2.0)),
        (" two", pytest.approx(2.5), pytest.approx(3.0)),
    ]
    assert [each.seek for each in made] == [1.0, 1.0]
    assert heard == 3000  # one timestamp at the end: no speech after it


def test_a_segment_without_an_end_is_heard_again(tokenizer: Tokenizer) -> None:
    one, two = tokenizer.encode(" one"), tokenizer.encode(" two")
    tokens = [at(tokenizer, 0.0), *one, at(tokenizer, 1.0), at(tokenizer, 1.0), *two]

    made, heard = segments(tokenizer, tokens, begin=0, frames=3000)

    assert [each.text for each in made] == [" one"]
    assert heard == 100


def test_without_pairs_the_window_is_one_segment(tokenizer: Tokenizer) -> None:
    tokens = [at(tokenizer, 0.0), *tokenizer.encode(" one")]
    made, heard = segments(tokenizer, tokens, begin=0, frames=250)
    assert [(each.start, each.end) for each in made] == [(0.0, 2.5)]
    assert heard == 250


def test_segments_without_text_or_duration_are_left_out(tokenizer: Tokenizer) -> None:
    tokens = [
        at(tokenizer, 0.0), *tokenizer.encode(" "), at(tokenizer, 1.0),
        at(tokenizer, 1.0), *tokenizer.encode(" now"), at(tokenizer, 1.0),
        at(tokenizer, 2.0), *tokenizer.encode(" then"), at(tokenizer, 3.0),
    ]  # fmt: skip
    made, _ = segments(tokenizer, tokens, begin=0, frames=3000)
    assert [each.text for each in made] == [" then"]


def test_an_empty_window_is_no_segment(tokenizer: Tokenizer) -> None:
    assert segments(tokenizer, [], begin=0, frames=3000) == ([], 3000)


def test_times_are_put_in_order() -> None:
    guessed = Segment(
        text=" a b c", start=0.9, end=9.0, seek=0.0, tokens=[], temperature=0.0, avg_logprob=0.0,
        compression_ratio=1.0, no_speech_prob=0.0,
        words=[Word(" a", 0.8, 1.6, 1.0), Word(" b", 1.4, 1.5, 1.0), Word(" c", 4.0, 9.5, 1.0)],
    )  # fmt: skip

    ordered = in_order(guessed, 1.0, 5.0)

    assert (ordered.start, ordered.end) == (1.0, 5.0)
    assert [(word.start, word.end) for word in ordered.words or []] == [(1.0, 1.6), (1.6, 1.6), (4.0, 5.0)]
