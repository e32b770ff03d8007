"""Texts to speak: numbers, signs and Markdown in words, complete sentences, unknown words by their letters."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.engines.speech.segmentation import LONGEST, cut
from providers.engines.speech.text import normalize as english
from providers.engines.speech.text.g2p import PAUSES, Chunk
from providers.engines.speech.text.letter_to_sound import LetterToSound
from providers.engines.speech.text.mapped import Mapped
from tests.growth import assert_linear
from tests.spoken_text import normalize, sentences


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("It costs $12.50.", "It costs twelve dollars and fifty cents."),
        ("About €1.2 million.", "About one point two million euros."),
        ("At 10:30 a.m. we left.", "At ten thirty a.m. we left."),
        ("On March 5, 2024.", "On March fifth, twenty twenty-four."),
        ("It ran 5 km in 23.5 min.", "It ran five kilometers in twenty-three point five minutes."),
        ("-3°C today.", "minus three degrees Celsius today."),
        ("50% of 1,234.", "fifty percent of one thousand two hundred and thirty-four."),
        ("In the 1990s, the 3rd.", "In the nineteen nineties, the third."),
        ("Dr. Smith vs. Mr. Jones", "Doctor Smith versus Mister Jones."),
        ("See https://example.com/docs.", "See example dot com slash docs."),
        ("**Bold** and *soft*, [a link](http://x.y) 😀", "Bold and soft, a link."),
        ("J. K. Rowling wrote it.", "J K Rowling wrote it."),
        ("2 * 3 = 6 & x²", "two times three equals six and x squared."),
        ("0.00 -1000, 1990-1995", "zero point zero zero to one thousand, nineteen ninety to nineteen ninety-five."),
        ("Call 555-123-4567.", "Call five five five, one two three, four five six seven."),
    ],
)
def test_what_is_written_is_read_in_words(written: str, read: str) -> None:
    assert normalize(written) == read


def test_a_british_date_has_its_day_first() -> None:
    assert normalize("On 03/04/2021", british=True) == "On the third of April, twenty twenty-one."


def test_blocks_of_markdown_are_sentences_without_their_marks() -> None:
    assert normalize("# Title\n\n- one\n- two\n\n1. first\n\n> quote") == "Title.\none.\ntwo.\none: first.\nquote."


@pytest.mark.parametrize("nothing", ["", "   ", "😀🎉", "...", "—", "***", "你好"])
def test_text_without_words_has_no_sentences(nothing: str) -> None:
    assert sentences(nothing) == []


def test_sentences_end_where_a_reader_would_end_them() -> None:
    text = Mapped.of('He lives in the U.S. now. "Hi," she said. Really?! Yes')
    assert [sentence.text for sentence in english.sentences(text)] == [
        "He lives in the U.S. now.",
        '"Hi," she said.',
        "Really?!",
        "Yes",
    ]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_text_becomes_letters_and_known_punctuation(text: str) -> None:
    normalized = normalize(text)
    assert all(character.isalpha() or character in ".,;:!?—…\"“”()'- \n" for character in normalized)
    assert "  " not in normalized
    assert max((len(chunk) for chunk in normalized.split()), default=0) <= 60
    lines = [english.sentences(Mapped.of(line)) for line in normalized.split("\n")]
    said = " ".join(sentence.text for line in lines for sentence in line).split()
    words = normalized.split()
    assert said == words or any(not any(map(str.isalpha, word)) for word in words)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=25), st.booleans())
def test_every_word_has_phonemes_of_the_alphabet(word: str, british: bool) -> None:
    vocabulary = "AIOQWYabdfhijklmnpstuvwzæðŋɑɒɔəɛɜɡɪɹʃʊʌʒʤʧˈˌːθᵊᵻ"
    phonemes = LetterToSound(lambda _: None, british=british).by_rules(word)
    assert phonemes
    assert set(phonemes) <= set(vocabulary)


def test_abbreviations_are_spelled_and_compounds_taken_apart() -> None:
    read = LetterToSound({"web": "wˈɛb", "hook": "hˈʊk"}.get, british=False)
    assert read("LLM") == "ˌɛlˌɛlˈɛm"
    assert read("GPUs") == "ʤˌipˌijˈuz"
    assert read("webhook") == "wˈɛbhˌʊk"
    assert read("Citroën")
    assert read("Łódź") == read("Lodz")
    assert all(map(read, "ÆÐØÞĐĦŁŊŒẞæðøþđħłŋœßı"))


phonemes = st.text(alphabet="abdfgɪʊˈ", min_size=1, max_size=12)
chunks = st.builds(
    lambda sounds, mark: Chunk(sounds + mark, sounds, sounds + mark), phonemes, st.sampled_from(["", "", ",", "."])
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(chunks, min_size=1, max_size=120), min_size=1, max_size=6))
def test_no_word_is_lost_or_repeated_and_every_piece_fits_the_model(text: list[list[Chunk]]) -> None:
    pieces = cut(text)
    assert [chunk for piece in pieces for chunk in piece.chunks] == [chunk for sentence in text for chunk in sentence]
    for piece in pieces:
        symbols, owners = piece.symbols
        assert 0 < len(symbols) == len(owners) <= LONGEST + 40


def test_a_long_first_sentence_gives_its_first_clause_away() -> None:
    words = [Chunk(f"{'abcdefgh'}{mark}", "abcdefgh", f"abcdefgh{mark}") for mark in ["", "", ",", *[""] * 6, "."]]
    first, second = cut([words])
    assert len(first.chunks) == 3
    assert first.chunks[-1].phonemes[-1] in PAUSES
    assert (first.ends_sentence, second.ends_sentence) == (False, True)


@pytest.mark.parametrize("strange", [" ", "a.", "1", "www.", "<a "])
def test_a_strange_text_takes_linear_time(strange: str) -> None:
    assert_linear(lambda length: normalize(f"a{strange * (length // len(strange))}b"), 16_000)
