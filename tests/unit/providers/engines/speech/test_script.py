"""What the engine reads of a request: turns one after the other, and long texts in sections, as it needs them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.engines.speech.intake import SpeechIntake, SpeechJob
from providers.engines.speech.script import Scripts, sections
from providers.engines.speech.segmentation import Piece
from providers.engines.speech.text.g2p import Chunk
from providers.errors import InvalidRequest
from providers.speech.turns import TURN_REST
from providers.speech.types import SpeechRequest, SpeechTurn, Unspoken

LONG = ("This is a sentence of eighty characters, which a reader repeats for a chapter.  " * 302)[:24_121]
"""Case 10 of the field: a chapter as one paragraph."""


@attrs.define
class Reader:
    """An intake whose pieces are words. Digits cannot be said."""

    read: int = 0
    """Characters."""
    pieces: int = 0
    """That are held by a caller or by this."""

    def job(self, request: SpeechRequest, *, is_part: bool = False) -> SpeechJob:
        if "?" in request.text:
            raise InvalidRequest("input: a mark is wrong", param="input")
        self.read += len(request.text)
        unspoken = [Unspoken(c, at, at + 1) for at, c in enumerate(request.text) if c.isdigit()]
        pieces = list(self._pieces(request.text))
        if not pieces and unspoken and not is_part:
            raise InvalidRequest("input: nothing can be said", param="input")
        return SpeechJob(
            id=request.id,
            pieces=pieces,
            unspoken=unspoken,
            characters=len(request.text),
            voices=request.voices,
            speed=request.speed,
            streamed=request.streamed,
            deadline=None,
        )

    def _pieces(self, text: str) -> Iterator[Piece]:
        at = 0
        for word in text.split():
            at = text.index(word, at)
            if word.isalpha():
                yield Piece((Chunk(word, word, "a", 0, word, at, at + len(word), at, at + len(word)),))
            at += len(word)


def write(reader: Reader, text: str = "", **fields: Any) -> Any:
    request = SpeechRequest(id="r", text=text, voices=[("a", 1.0)], **fields)
    return Scripts(cast("SpeechIntake", reader)).write(request)


def test_a_streamed_chapter_is_read_while_it_is_spoken() -> None:
    reader = Reader()
    script = write(reader, LONG, streamed=True)
    assert reader.read < 4096
    heard = [next(script.lines) for _ in range(20)]
    assert reader.read < 4096

    heard += script.lines
    assert reader.read == len(LONG)
    chunks = [line.piece.chunks[0] for line in heard]
    assert all(LONG[chunk.start_char : chunk.end_char] == chunk.word for chunk in chunks)
    assert [chunk.word for chunk in chunks] == [word for word in LONG.split() if word.isalpha()]


def test_a_text_that_is_not_streamed_is_read_whole() -> None:
    reader = Reader()
    write(reader, LONG)
    assert reader.read == len(LONG)


def test_what_is_not_said_of_a_later_section_is_named_when_it_is_read() -> None:
    text = LONG + "\n\n77\n\nThe end."
    script = write(Reader(), text, streamed=True)
    assert script.unspoken == []
    list(script.lines)
    assert [(word.text, text[word.start_char]) for word in script.unspoken] == [("7", "7"), ("7", "7")]


def test_a_long_text_of_which_nothing_can_be_said_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="nothing can be said"):
        write(Reader(), "1234 " * 2000, streamed=True)


def test_a_wrong_mark_of_a_later_section_ends_the_speech() -> None:
    script = write(Reader(), LONG + "\n\n?", streamed=True)
    with pytest.raises(InvalidRequest, match="a mark is wrong"):
        list(script.lines)


def turns(*texts: str) -> list[SpeechTurn]:
    return [SpeechTurn(text, [(f"voice{at}", 1.0)], 1.0 + at, "voice") for at, text in enumerate(texts)]


def test_turns_have_their_voices_and_a_pause_between_them() -> None:
    script = write(Reader(), turns=turns("Hello there", "Hi", "Bye"))
    lines = list(script.lines)

    assert [(line.piece.text, line.turn, line.voices[0][0], line.speed) for line in lines] == [
        ("Hello", 0, "voice0", 1.0),
        ("there", 0, "voice0", 1.0),
        ("Hi", 1, "voice1", 2.0),
        ("Bye", 2, "voice2", 3.0),
    ]
    assert [line.piece.rest for line in lines] == [None, TURN_REST, TURN_REST, None]
    assert script.characters == len("Hello thereHiBye")


def test_a_wrong_turn_is_refused_with_its_path() -> None:
    with pytest.raises(InvalidRequest) as caught:
        write(Reader(), turns=turns("Hello", "Bye?"))
    assert caught.value.param == "input[1].text"
    assert caught.value.message.startswith("input[1].text: ")


def test_what_is_not_said_of_a_turn_has_its_number() -> None:
    script = write(Reader(), turns=turns("Hello", "Bye 5"))
    assert script.unspoken == [Unspoken("5", 4, 5, 1)]


@given(st.text(alphabet="ab. \n`", max_size=400).map(lambda text: (text + " word. ") * 40))
def test_sections_are_the_text(text: str) -> None:
    found = list(sections(text))
    assert "".join(found) == text
    for section in found[:-1]:
        assert section.count("\n```") % 2 == 0 or "```" in section


def test_sections_do_not_cut_code_or_ssml() -> None:
    code = "```\n" + "a line. \n\n" * 1000 + "```\n"
    assert not any(section.count("```") == 1 for section in sections("Hello there. " * 400 + "\n\n" + code))
    assert list(sections("<speak>" + LONG)) == ["<speak>" + LONG]
