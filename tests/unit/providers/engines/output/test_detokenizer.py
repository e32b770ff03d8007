"""Detokenising: the same text, however tokens cut it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_lm.tokenizer_utils import load

from providers.engines.output.detokenizer import Vocabulary
from tests.unit.providers.engines import tiny


@pytest.fixture(scope="module")
def wrapper(tiny_folder: Path) -> object:
    return load(tiny_folder)


@given(text=st.text(max_size=40))
def test_tokens_come_back_as_their_text(wrapper: object, text: str) -> None:
    ids = tiny.tokenizer().encode(text, add_special_tokens=False).ids
    decoder = Vocabulary(wrapper).decoder()
    # The tokenizer drops what looks like its own special tokens, and so must the decoder.
    expected = tiny.tokenizer().decode(ids, skip_special_tokens=True)
    assert "".join(decoder.add(id) for id in ids) + decoder.flush() == expected


def ids_of(text: str | bytes) -> list[int]:
    raw = text.encode() if isinstance(text, str) else text
    alphabet = {token: id for id, token in enumerate(tiny.vocabulary())}
    from providers.engines.output.detokenizer import _byte_level_alphabet

    letter = {byte: char for char, byte in _byte_level_alphabet().items()}
    return [alphabet[letter[byte]] for byte in raw]


def test_a_character_never_leaves_in_halves(wrapper: object) -> None:
    decoder = Vocabulary(wrapper).decoder()
    assert [decoder.add(id) for id in ids_of("é🎉x")] == ["", "é", "", "", "", "🎉", "x"]


def test_an_unfinished_character_becomes_one_replacement_at_the_end(wrapper: object) -> None:
    decoder = Vocabulary(wrapper).decoder()
    assert "".join(decoder.add(id) for id in ids_of(b"a" + "🎉".encode()[:3])) == "a"
    assert decoder.flush() == "\ufffd"


def test_zero_bytes_first_spaces_and_real_replacement_characters_survive(wrapper: object) -> None:
    decoder = Vocabulary(wrapper).decoder()
    assert [decoder.add(id) for id in ids_of(" \0\ufffd")] == [" ", "\0", "", "", "\ufffd"]


def test_special_and_padding_tokens_have_no_text(wrapper: object) -> None:
    decoder = Vocabulary(wrapper).decoder()
    assert [decoder.add(id) for id in (tiny.END, tiny.START, len(tiny.vocabulary()) + 3, 10**6)] == [""] * 4


def test_tokens_of_the_markup_have_text_for_the_parser(wrapper: object) -> None:
    vocabulary = Vocabulary(wrapper, markup=frozenset({tiny.START}))
    marked, plain = vocabulary.decoder(markup=True), vocabulary.decoder()
    tokens = [tiny.START, *ids_of("a"), tiny.END]
    assert [marked.add(id) for id in tokens] == ["<|start|>", "a", ""]
    assert [plain.add(id) for id in tokens] == ["", "a", ""]


def test_a_piece_is_one_token_by_itself(wrapper: object) -> None:
    vocabulary = Vocabulary(wrapper)
    first = ids_of("é")[0]
    assert vocabulary.piece(first) == ("\ufffd", "é".encode()[:1])
    assert vocabulary.piece(tiny.END) == ("<|end|>", b"<|end|>")
    assert vocabulary.piece(10**6) == ("", b"")
