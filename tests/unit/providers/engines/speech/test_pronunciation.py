"""English in misaki's phonemes, the same on every Python. If misaki itself can be installed, it is the reference."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.engines.speech.text.lexicon import Lexicon
from providers.engines.speech.text.pronunciation import Pronunciation, Token
from tests.spoken_text import normalize

SENTENCES = [
    (
        "I read it yesterday and I read it every day.",
        "ˌI ɹˈɛd ɪt jˈɛstəɹdˌA ænd ˌI ɹˈɛd ɪt ˈɛvəɹi dˈA.",
        "ˌI ɹˈɛd ɪt jˈɛstədA and ˌI ɹˈɛd ɪt ˈɛvəɹi dˈA.",
    ),
    (
        "The project will project a lead role.",
        "ðə pɹˈɑʤˌɛkt wɪl pɹəʤˈɛkt ɐ lˈid ɹˈOl.",
        "ðə pɹˈɒʤɛkt wɪl pɹəʤˈɛkt ɐ lˈiːd ɹˈQl.",
    ),
    ("They lead us to act, and to eat.", "ðˌA lˈid ˌʌs tʊ ˈækt, ænd tʊ ˈit.", "ðˌA lˈiːd ˌʌs tʊ ˈakt, and tʊ ˈiːt."),
    (
        "He used to live in the live house; it is used in May.",
        "hˌi jˈust tə lˈɪv ɪn ðə lˈIv hˈWs; ɪt ɪz jˈuzd ɪn mˈA.",
        "hˌiː jˈuːst tə lˈɪv ɪn ðə lˈIv hˈWs; ɪt ɪz jˈuːzd ɪn mˈA.",
    ),
    (
        "Don't, won't, it's Anna's and the Joneses' house.",
        "dˈOnt, wˈOnt, ɪts ˈɑnəz ænd ðə ʤˈOnzᵻz hˈWs.",
        "dˈQnt, wˈQnt, ɪts ˈanəz and ðə ʤˈQnzɪz hˈWs.",
    ),
    (
        "AM radio at noon; am I an uncle or an AN engineer?",
        "ˌAˈɛm ɹˈAdiO æt nˈun; ɐm ˌI ɐn ˈʌŋkəl ɔɹ ɐn ɐn ˌɛnʤənˈɪɹ?",
        "ˌAˈɛm ɹˈAdɪQ at nˈuːn; ɐm ˌI ɐn ˈʌŋkᵊl ɔː ɐn ɐn ˌɛnʤɪnˈɪə?",
    ),
    (
        "The U.S. vs. the U.K. at NASA, IBM, the FBI's and PDFs.",
        "ðə jˌuˈɛs vˈɜɹsəs ðə jˌukˈA æt nˈæsə, ˌIbˌiˈɛm, ði ˌɛfbˌiˈIz ænd pˌidˌiˈɛfs.",
        "ðə jˌuːˈɛs vˈɜːsəs ðə jˌuːkˈA at nˈasə, ˌIbˌiːˈɛm, ði ˌɛfbˌiːˈIz and pˌiːdˌiːˈɛfs.",
    ),
    (
        "Writing, getting, voted, wanted, boxes, buses, flies, cats, judged, watched.",
        "ɹˈITɪŋ, ɡˈɛTɪŋ, vˈOTᵻd, wˈɑntᵻd, bˈɑksᵻz, bˈʌsᵻz, flˈIz, kˈæts, ʤˈʌʤd, wˈɑʧt.",
        "ɹˈItɪŋ, ɡˈɛtɪŋ, vˈQtɪd, wˈɒntɪd, bˈɒksɪz, bˈʌsɪz, flˈIz, kˈats, ʤˈʌʤd, wˈɒʧt.",
    ),
    (
        "A and B, re-enter, well-known, state-of-the-art, and/or.",
        "ˈA ænd bˈi, ɹiˈɛntəɹ, wˌɛlnˈOn, stˈAtʌvðiˈɑɹt, ænd ɔɹ.",
        "ˈA and bˈiː, ɹˌiːˈɛntə, wˌɛlnˈQn, stˈAtɒvðiˈɑːt, and ɔː.",
    ),
    (
        "Button, mountain, cotton, water, better, butter, city.",
        "bˈʌtn, mˈWntᵊn, kˈɑtn, wˈɔTəɹ, bˈɛTəɹ, bˈʌTəɹ, sˈɪTi.",
        "bˈʌtᵊn, mˈWntɪn, kˈɒtᵊn, wˈɔːtə, bˈɛtə, bˈʌtə, sˈɪti.",
    ),
    (
        "OpenAI's GitHub runs on macOS and iPhone.",
        "ˌOpᵊnˈAˌIz ɡˌɪthˈʌb ɹˈʌnz ˌɔn mˌækˌOˈɛs ænd ˈIfˌOn.",
        "ˌQpᵊnˈAˌIz ɡˌɪthˈʌb ɹˈʌnz ˌɒn mˌakˌQˈɛs and ˈIfˌQn.",
    ),
    (
        "Good morning! How are you? I'm fine, thanks… — really (truly).",
        "ɡˈʊd mˈɔɹnɪŋ! hˌW ɑɹ ju? ˌIm fˈIn, θˈæŋks… — ɹˈiᵊli (tɹˈuli).",
        "ɡˈʊd mˈɔːnɪŋ! hˌW ɑː juː? ˌIm fˈIn, θˈaŋks… — ɹˈɪəli (tɹˈuːli).",
    ),
    (
        "“Stop,” she said, “in the name of the law.”",
        "“stˈɑp,” ʃi sˈɛd, “ɪn ðə nˈAm ʌv ðə lˈɔ.”",
        "“stˈɒp,” ʃiː sˈɛd, “ɪn ðə nˈAm ɒv ðə lˈɔː.”",
    ),
    ("SHOUTING IS RUDE, SHE WROTE.", "ʃˈWTɪŋ ˈɪz ɹˈud, ˌɛsˌAʧˈi ɹˈOt.", "ʃˈWtɪŋ ˈɪz ɹˈuːd, ˌɛsˌAʧˈiː ɹˈQt."),
    ("By and by the ship sailed by.", "bˈI ænd bI ðə ʃˈɪp sˈAld bˈI.", "bˈI and bI ðə ʃˈɪp sˈAld bˈI."),
    ("Salt & pepper + oil @ home", "sˈɔlt ænd pˈɛpəɹ plˈʌs ˈYl æt hˈOm", "sˈɒlt and pˈɛpə plˈʌs ˈYl at hˈQm"),
]
"""A sentence, its American and its British phonemes, as misaki 0.9.4 reads it."""

ENDINGS = ("s", "es", "ed", "d", "ing", "'s", "s'", "'", "ly", "n't", "ies", "")
FUNCTION_WORDS = ("the", "to", "a", "an", "in", "used", "am", "by", "I", "that", "vs.", "read", "live")
SHOUTED = ("THE", "TO", "IN", "A", "AN", "U.S.", "&", "@", "+", "%")
JOINTS = ("-", "/", "._", "’", "&")
PAUSES = (",", ".", ";", ":", "!", "?", " —", "...", "")


def unknown(word: str) -> str:
    return f"<{word}>"


@cache
def reader(british: bool) -> Pronunciation:
    return Pronunciation(Lexicon(british=british), unknown)


@pytest.mark.parametrize(("sentence", "american", "british"), SENTENCES)
def test_sentences_are_read_as_misaki_reads_them(sentence: str, american: str, british: str) -> None:
    for phonemes, tokens in ((american, reader(False)(sentence)), (british, reader(True)(sentence))):
        assert "".join((token.phonemes or "") + token.whitespace for token in tokens) == phonemes


@pytest.mark.parametrize(
    ("sentence", "american", "british"),
    [
        ("I will read it, as I read it yesterday.", "ɹˈid ɹˈɛd", "ɹˈiːd ɹˈɛd"),
        ("He wound the bandage on the wound.", "wˈWnd wˈund", "wˈWnd wˈuːnd"),
        ("A live wire, where they live.", "lˈIv lˈɪv", "lˈIv lˈɪv"),
        ("Please close the door, it is close to me.", "klˈOz klˈOs", "klˈQz klˈQs"),
    ],
)
def test_words_of_two_sounds_have_that_of_their_part_of_speech(sentence: str, american: str, british: str) -> None:
    for expected, tokens in ((american, reader(False)(sentence)), (british, reader(True)(sentence))):
        two = {"read", "wound", "live", "close"}
        assert " ".join(token.phonemes or "" for token in tokens if token.text in two) == expected


@pytest.mark.parametrize(
    ("sentence", "american", "british"),
    [
        ("The bass player ate bass.", "bˈAs bˈæs", "bˈAs bˈas"),
        ("Turn down the bass.", "bˈAs", "bˈAs"),
        ("We caught a striped bass.", "bˈæs", "bˈas"),
        ("The lead pipe is old.", "lˈɛd", "lˈɛd"),
        ("They lead me there.", "lˈid", "lˈiːd"),
    ],
)
def test_nouns_of_two_sounds_are_told_apart_by_their_neighbours(sentence: str, american: str, british: str) -> None:
    for expected, tokens in ((american, reader(False)(sentence)), (british, reader(True)(sentence))):
        two = {"bass", "lead"}
        assert " ".join(token.phonemes or "" for token in tokens if token.text in two) == expected


@pytest.mark.parametrize(
    ("word", "phonemes"),
    [
        ("tales", "tˈAlz"),
        ("midair", "mˌɪdˈɛɹ"),
        ("arithmetic", "ˌɛɹɪθmˈɛTɪk"),
        ("metaplastic", "mˌɛTəplˈæstɪk"),
        ("hoping", "hˈOpɪŋ"),
    ],
)
def test_words_that_readers_got_wrong_are_in_the_dictionaries(word: str, phonemes: str) -> None:
    assert [token.phonemes for token in reader(False)(word)] == [phonemes]


def test_unknown_words_go_to_the_fallback_whole() -> None:
    tokens = reader(False)("The zxqvb and the Zxqv-bnm.")

    assert [token.phonemes for token in tokens] == ["ðə", "<zxqvb>", "ænd", "ðə", "<Zxqv-bnm>", "."]


def test_an_accented_word_in_capitals_that_only_the_unchecked_dictionary_knows_is_not_an_error() -> None:
    lexicon = Lexicon(british=False)
    lexicon.silvers["zürq"] = "zˈʊɹk"
    read = Pronunciation(lexicon, unknown)

    assert all(token.phonemes for token in read("ZÜRQ, Zürq and zürq."))


@settings(deadline=None)  # the first call loads spaCy's tagger
@given(st.text(st.characters(categories=["L", "Nd", "No", "Nl", "P", "S", "Zs"]), max_size=40))
def test_no_digit_is_left_to_be_read(text: str) -> None:
    assert not any(character.isdigit() for character in normalize(text))


def misaki_reader(british: bool) -> Any:
    en = pytest.importorskip("misaki.en", reason="misaki excludes this Python")
    tagger = reader(british)._nlp

    class Misaki(en.G2P):  # type: ignore[misc]
        def __init__(self) -> None:
            self.version = None
            self.british = british
            self.nlp = tagger
            self.lexicon = en.Lexicon(british)
            self.fallback = lambda token: (unknown(token.text), 1)
            self.unk = ""

    return Misaki()


def random_word(choose: random.Random, words: list[str]) -> str:
    """An inflected, capitalised or compound word, or a function word."""
    word = choose.choice(words) if choose.random() < 0.7 else choose.choice((*FUNCTION_WORDS, *SHOUTED))
    word += choose.choice(ENDINGS) if choose.random() < 0.3 else ""
    form = choose.random()
    if form < 0.1:
        word = word.upper()
    elif form < 0.25:
        word = word.capitalize()
    elif form < 0.32:
        word += choose.choice(JOINTS) + choose.choice(words)
    elif form < 0.36:
        word += choose.choice(words).capitalize()
    return word


@pytest.mark.parametrize("british", [False, True])
def test_any_words_are_read_as_misaki_reads_them(british: bool) -> None:
    judge = misaki_reader(british)
    lexicon = judge.lexicon
    own = Lexicon(british=british)
    assert own.golds == lexicon.golds
    assert own.silvers == lexicon.silvers
    words = sorted({*own.golds, *own.silvers})
    choose = random.Random(20)

    for _ in range(300):
        length = choose.randint(1, 12)
        text = " ".join(random_word(choose, words) + choose.choice(PAUSES) for _ in range(length))
        expected = [Token(each.text, "", each.whitespace, each.phonemes or "") for each in judge(text, False)[1]]
        found = [Token(each.text, "", each.whitespace, each.phonemes) for each in reader(british)(text)]
        assert found == expected, text
