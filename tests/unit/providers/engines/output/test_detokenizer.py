"""Detokenising: the same text, however tokens cut it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_lm.tokenizer_utils import TokenizerWrapper, load
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from providers.engines.output.detokenizer import Vocabulary
from tests.unit.providers.engines import tiny


@pytest.fixture(scope="module")
def wrapper(tiny_folder: Path) -> object:
    return load(tiny_folder)


@pytest.fixture(scope="module")
def vocabulary(wrapper: object) -> Vocabulary:
    return Vocabulary(wrapper)


TOKENIZER = tiny.tokenizer()


@given(text=st.text(max_size=40))
def test_tokens_come_back_as_their_text(vocabulary: Vocabulary, text: str) -> None:
    ids = TOKENIZER.encode(text, add_special_tokens=False).ids
    decoder = vocabulary.decoder()
    # The tokenizer drops what looks like its own special tokens, and so must the decoder.
    expected = TOKENIZER.decode(ids, skip_special_tokens=True)
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


PADDING = len(tiny.vocabulary())
"""The first id of the model's logits that the tokenizer does not have."""


def test_special_and_padding_tokens_have_no_text(wrapper: object) -> None:
    decoder = Vocabulary(wrapper).decoder()
    assert [decoder.add(id) for id in (tiny.END, tiny.START, PADDING, PADDING + 3, 10**6)] == [""] * 5


def test_tokens_of_the_markup_have_text_for_the_parser(wrapper: object) -> None:
    vocabulary = Vocabulary(wrapper, markup=frozenset({tiny.START}))
    marked, plain = vocabulary.decoder(markup=True), vocabulary.decoder()
    tokens = [tiny.START, *ids_of("a"), tiny.END]
    assert [marked.add(id) for id in tokens] == ["<|start|>", "a", ""]
    assert [plain.add(id) for id in tokens] == ["", "a", ""]
    assert [marked.add(id) for id in ids_of("\ufffd")] == ["", "", "\ufffd"]


def test_a_piece_is_one_token_by_itself(wrapper: object) -> None:
    vocabulary = Vocabulary(wrapper)
    first = ids_of("é")[0]
    assert vocabulary.piece(first) == ("\ufffd", "é".encode()[:1])
    assert vocabulary.piece(tiny.END) == ("<|end|>", b"<|end|>")
    assert [vocabulary.piece(id) for id in (PADDING, 10**6)] == [("", b"")] * 2


def byte_level(*added: AddedToken, end: str = "<|end|>") -> PreTrainedTokenizerFast:
    made = tiny.tokenizer()
    made.add_tokens([*added])
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token=end)


def test_an_added_token_has_its_own_text_and_not_that_of_its_bytes() -> None:
    fast = byte_level(AddedToken("né", special=False, normalized=False))
    vocabulary = Vocabulary(TokenizerWrapper(fast))
    id = fast.convert_tokens_to_ids("né")
    assert vocabulary.decoder().add(id) == "né"
    assert vocabulary.piece(id) == ("né", "né".encode())


def test_every_token_that_ends_an_answer_is_silent() -> None:
    fast = byte_level(end="he")
    also = fast.convert_tokens_to_ids("ll")
    decoder = Vocabulary(TokenizerWrapper(fast, eos_token_ids=[also])).decoder()
    assert [decoder.add(fast.convert_tokens_to_ids(token)) for token in ("he", "ll", "hell")] == ["", "", "hell"]


SPM_SPECIAL = ("<s>", "</s>")
NO_BYTES = ("<0xE9", "<0xE9>>", "<1xE9>", "(0xE9>", "<0xE9)", "words>", "<0x", "->")
"""Tokens that look like bytes, and are text."""
SPM_WORDS = ("▁", "▁Hello", "▁world", "!", "x", *NO_BYTES)


def sentence_piece(*after: decoders.Decoder) -> Tokenizer:
    """A vocabulary as Llama 2 and Mistral have it: words that begin with their space, and bytes for all else."""
    tokens = [*SPM_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *SPM_WORDS]
    made = Tokenizer(models.Unigram([(token, -1.0) for token in tokens], unk_id=0, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *after])
    made.add_special_tokens([AddedToken(token, special=True) for token in SPM_SPECIAL])
    return made


STRIPPED = (decoders.Strip(" ", 1, 0),)
"""Llama 2 and Mistral: the space that the vocabulary puts before the first word is no part of the text."""


def spm_vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    return Vocabulary(TokenizerWrapper(fast))


@pytest.mark.parametrize(("after", "first"), [(STRIPPED, "Hello"), ((), " Hello")])
def test_the_first_space_of_a_sentence_piece_answer_goes_where_the_vocabulary_added_it(
    after: tuple[decoders.Decoder, ...], first: str
) -> None:
    tokenizer = sentence_piece(*after)
    decoder = spm_vocabulary(tokenizer).decoder()
    words = [tokenizer.token_to_id(token) for token in ("<s>", "▁Hello", "▁world", "▁", "!")]
    assert [decoder.add(id) for id in words] == ["", first, " world", " ", "!"]


def test_only_one_first_space_goes() -> None:
    tokenizer = sentence_piece(*STRIPPED)
    decoder = spm_vocabulary(tokenizer).decoder()
    space, word = tokenizer.token_to_id("▁"), tokenizer.token_to_id("▁Hello")
    assert [decoder.add(id) for id in (space, space, word)] == ["", " ", " Hello"]


@pytest.fixture(scope="module")
def stripped() -> tuple[Tokenizer, Vocabulary]:
    tokenizer = sentence_piece(*STRIPPED)
    return tokenizer, spm_vocabulary(tokenizer)


@settings(max_examples=30, deadline=None)
@given(text=st.text(st.characters(exclude_characters="\u2581"), min_size=1, max_size=20))
def test_sentence_piece_tokens_come_back_as_their_text(stripped: tuple[Tokenizer, Vocabulary], text: str) -> None:
    tokenizer, vocabulary = stripped
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    decoder = vocabulary.decoder()
    expected = tokenizer.decode(ids, skip_special_tokens=True)
    assert "".join(decoder.add(id) for id in ids) + decoder.flush() == expected


def test_bytes_of_a_sentence_piece_vocabulary_become_one_character() -> None:
    tokenizer = sentence_piece(*STRIPPED)
    vocabulary = spm_vocabulary(tokenizer)
    decoder = vocabulary.decoder()
    first, second = (tokenizer.token_to_id(token) for token in ("<0xC3>", "<0xA9>"))
    assert not decoder.add(first)
    assert not decoder.is_whole
    assert decoder.add(second) == "é"
    assert decoder.is_whole
    assert vocabulary.piece(first) == ("\ufffd", b"\xc3")
    for token in NO_BYTES:
        assert vocabulary.piece(tokenizer.token_to_id(token)) == (token, token.encode())


def test_an_answer_that_ends_within_a_character_ends_with_a_replacement() -> None:
    tokenizer = sentence_piece(*STRIPPED)
    decoder = spm_vocabulary(tokenizer).decoder()
    assert not decoder.add(tokenizer.token_to_id("<0xC3>"))
    assert decoder.flush() == "\ufffd"


WORD_PIECES = ("<s>", "</s>", "<tool>", "play", "##ing", "cards", "!")


@pytest.fixture(scope="module")
def word_pieces() -> TokenizerWrapper:
    """A vocabulary that is neither bytes nor SentencePiece, as BERT's."""
    made = Tokenizer(models.WordLevel({token: id for id, token in enumerate(WORD_PIECES)}, unk_token="!"))
    made.decoder = decoders.WordPiece("##", cleanup=False)
    made.add_special_tokens([AddedToken(token, special=True) for token in WORD_PIECES[:3]])
    return TokenizerWrapper(PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>"))


def test_other_vocabularies_are_decoded_by_their_own_tokenizer(word_pieces: TokenizerWrapper) -> None:
    decoder = Vocabulary(word_pieces).decoder()
    assert decoder.is_whole
    words = [WORD_PIECES.index(token) for token in ("<s>", "play", "##ing", "<tool>", "cards", "!", "</s>")]
    assert "".join(decoder.add(id) for id in words) + decoder.flush() == "playing cards !"


def test_a_piece_of_another_vocabulary_is_one_token_by_itself(word_pieces: TokenizerWrapper) -> None:
    vocabulary = Vocabulary(word_pieces)
    assert vocabulary.piece(WORD_PIECES.index("cards")) == ("cards", b"cards")
    assert vocabulary.piece(WORD_PIECES.index("</s>")) == ("</s>", b"</s>")


def test_markup_of_another_vocabulary_is_for_the_parser_only(word_pieces: TokenizerWrapper) -> None:
    tool = WORD_PIECES.index("<tool>")
    vocabulary = Vocabulary(word_pieces, markup=frozenset({tool}))
    assert vocabulary.special == {0, 1, tool}
    marked, plain = vocabulary.decoder(markup=True), vocabulary.decoder()
    for decoder, expected in ((marked, True), (plain, False)):
        text = decoder.add(WORD_PIECES.index("play")) + decoder.add(tool) + decoder.add(1) + decoder.flush()
        assert ("<tool>" in text, "</s>" in text) == (expected, False)


@pytest.mark.parametrize(
    ("decoder", "text"),
    [
        ([decoders.Replace("▁", " "), decoders.Fuse()], " <0xE9>"),
        ([decoders.Replace("_", " "), decoders.ByteFallback()], "▁<0xE9>"),
        ([decoders.Replace("▁", " "), decoders.Strip(" ", 1, 0), decoders.Fuse()], "<0xE9>"),
    ],
    ids=["no bytes", "another space", "a first space"],
)
def test_a_decoder_that_is_only_half_of_sentence_piece_is_left_to_the_tokenizer(
    decoder: list[decoders.Decoder], text: str
) -> None:
    made = Tokenizer(models.WordLevel({"</s>": 0, "▁<0xE9>": 1}, unk_token="</s>"))
    made.decoder = decoders.Sequence(decoder)
    made.add_special_tokens([AddedToken("</s>", special=True)])
    vocabulary = Vocabulary(TokenizerWrapper(PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>")))
    assert vocabulary.piece(1) == (text, text.encode())


def test_a_tokenizer_without_a_fast_backend_decodes_by_itself() -> None:
    slow = SimpleNamespace(
        all_special_ids=[0],
        eos_token_ids={0},
        added_tokens_decoder={},
        decode=lambda ids: f"word {ids[0]}",
        convert_ids_to_tokens=lambda id: "</s>",
    )
    vocabulary = Vocabulary(slow)
    assert [vocabulary.piece(id) for id in (0, 7)] == [("</s>", b"</s>"), ("word 7", b"word 7")]


def test_a_vocabulary_without_tokens_has_no_text() -> None:
    made = Tokenizer(models.BPE())
    made.decoder = decoders.ByteLevel()
    vocabulary = Vocabulary(TokenizerWrapper(PreTrainedTokenizerFast(tokenizer_object=made)))
    assert vocabulary.piece(0) == ("", b"")
    assert not vocabulary.decoder().add(0)
