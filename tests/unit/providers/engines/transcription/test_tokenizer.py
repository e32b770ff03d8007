"""OpenAI's vocabularies: known ids, special tokens and words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.engines.transcription.tokenizer import get_tokenizer


def test_the_ids_of_the_multilingual_vocabulary() -> None:
    tokenizer = get_tokenizer(True, language="de", task="translate")

    assert tokenizer.encode(" Hello world") == [2425, 1002]
    assert (tokenizer.eot, tokenizer.sot, tokenizer.translate, tokenizer.transcribe) == (50257, 50258, 50358, 50359)
    assert (tokenizer.sot_lm, tokenizer.sot_prev, tokenizer.no_speech) == (50360, 50361, 50362)
    assert (tokenizer.no_timestamps, tokenizer.timestamp_begin) == (50363, 50364)
    assert tokenizer.sot_sequence == (50258, 50261, 50358)
    assert tokenizer.sot_sequence_including_notimestamps == (50258, 50261, 50358, 50363)
    assert len(tokenizer.all_language_tokens) == 99


def test_the_ids_of_the_english_vocabulary() -> None:
    tokenizer = get_tokenizer(False, language="en", task="transcribe")

    assert tokenizer.encode(" Hello world") == [18435, 995]
    assert (tokenizer.eot, tokenizer.sot_sequence, tokenizer.timestamp_begin) == (50256, (50257,), 50363)


def test_a_hundredth_language_moves_what_follows() -> None:
    assert get_tokenizer(True, num_languages=100).timestamp_begin == 50365


def test_a_language_by_its_name() -> None:
    assert get_tokenizer(True, language="German").language == "de"
    with pytest.raises(ValueError, match="klingon"):
        get_tokenizer(True, language="klingon")


def test_timestamps_are_left_out_of_text() -> None:
    tokenizer = get_tokenizer(True)
    tokens = [tokenizer.timestamp_begin, *tokenizer.encode(" one"), tokenizer.timestamp_begin + 54]

    assert tokenizer.decode(tokens) == " one"
    assert tokenizer.decode_with_timestamps(tokens) == "<|0.00|> one<|1.08|>"


def test_words_keep_their_tokens_together() -> None:
    tokenizer = get_tokenizer(True)
    tokens = [*tokenizer.encode(" incomprehensibilities, naïve café."), tokenizer.eot]

    words, tokens_of = tokenizer.split_to_word_tokens(tokens)

    assert words == [" incomprehensibilities", ",", " naïve", " café", ".", "<|endoftext|>"]
    assert [token for word in tokens_of for token in word] == tokens


def test_japanese_is_split_into_characters() -> None:
    tokenizer = get_tokenizer(True, language="ja")
    words, _ = tokenizer.split_to_word_tokens(tokenizer.encode("鑫さん"))

    assert "".join(words) == "鑫さん"
    assert all("\ufffd" not in word for word in words)
    assert len(words) >= 2


def test_signs_of_sounds_are_suppressed_and_punctuation_is_not() -> None:
    tokenizer = get_tokenizer(True)
    suppressed = set(tokenizer.non_speech_tokens)

    assert {tokenizer.encode(mark)[0] for mark in ("[", " (", "♪", " -")} <= suppressed
    assert not suppressed & {tokenizer.encode(mark)[0] for mark in (",", ".", "?", "!", "-", "'")}


@given(st.text(max_size=60))
def test_text_comes_back_whole(text: str) -> None:
    tokenizer = get_tokenizer(True)
    assert tokenizer.decode(tokenizer.encode(text)) == text
