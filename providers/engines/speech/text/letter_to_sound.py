"""From letters to misaki's phonemes, for English words that are in no dictionary.

A word is tried as an inflection, a compound or a capitalised abbreviation of words in the dictionary. All others are
read by rules in the manner of Elovitz, Johnson, McHugh and Shore, "Automatic Translation of English Text to
Phonetics by Means of Letter-to-Sound Rules" (NRL Report 7948, 1976), shortened and written anew for this alphabet.
Every word gets phonemes, without another program.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from importlib.resources import files

__all__ = ["LetterToSound", "plain_letters"]

Look = Callable[[str], str | None]

_LETTERS = {
    "a": "ˈA",
    "b": "bˈi",
    "c": "sˈi",
    "d": "dˈi",
    "e": "ˈi",
    "f": "ˈɛf",
    "g": "ʤˈi",
    "h": "ˈAʧ",
    "i": "ˈI",
    "j": "ʤˈA",
    "k": "kˈA",
    "l": "ˈɛl",
    "m": "ˈɛm",
    "n": "ˈɛn",
    "o": "ˈO",
    "p": "pˈi",
    "q": "kjˈu",
    "r": "ˈɑɹ",
    "s": "ˈɛs",
    "t": "tˈi",
    "u": "jˈu",
    "v": "vˈi",
    "w": "dˈʌbᵊlju",
    "x": "ˈɛks",
    "y": "wˈI",
    "z": "zˈi",
}

# Letters that NFKD does not decompose.
_SMALL = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "th", "þ": "th", "ł": "l", "ħ": "h", "ŋ": "ng"}
_CAPITALS = {letter.upper(): plain.capitalize() for letter, plain in _SMALL.items() if letter != "ß"}
_SPECIAL = str.maketrans({**_SMALL, **_CAPITALS, "ẞ": "SS", "ı": "i"})

_CLASSES = {"V": "[aeiouy]", "C": "[bcdfghjklmnpqrstvwxz]"}
_VOWELS = "AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻᵊ"
_FULL_VOWELS = "AIOQWYaiuæɑɒɔɛɜɪʊʌ"


def plain_letters(text: str) -> str:
    """Latin letters without their marks: `Citroën` → `Citroen`. Other scripts stay."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_SPECIAL))
    return "".join(character for character in decomposed if not unicodedata.combining(character))


class LetterToSound:
    """Reads words aloud by their letters.

    Args:
        look: the dictionary: phonemes of a word in lower case, or None.
        british: whether to use British vowels instead of American ones.
    """

    def __init__(self, look: Look, *, british: bool) -> None:
        self._look = look
        self._british = british
        self._rules: dict[str, list[tuple[re.Pattern[str], str, re.Pattern[str], str]]] = {}
        for left, letters, right, phonemes in _read_rules():
            rule = (_compiled(left, "(?:{})$"), letters, _compiled(right, "(?:{})"), phonemes)
            self._rules.setdefault(letters[0], []).append(rule)

    def __call__(self, word: str) -> str:
        """Phonemes of any word that has a Latin letter; empty for one that has none."""
        letters = re.sub(r"[^A-Za-z']", "", plain_letters(word).replace("’", "'")).strip("'")
        if not letters:
            return ""
        lower = letters.lower()
        if known := self._look(lower):
            return known
        if _is_abbreviation(letters):
            return self.spelled(lower.replace("'", ""))
        for ending, sounds in (("'s", ("s", "z", "ᵻz")), ("s", ("s", "z", "ᵻz"))):
            if lower.endswith(ending) and len(lower) > len(ending) + 2:
                stem = self(letters[: -len(ending)])
                return stem + (sounds[0] if stem[-1] in "ptkfθ" else sounds[2] if stem[-1] in "szʃʒʧʤ" else sounds[1])
        return self._compound(lower) or self.by_rules(lower)

    def spelled(self, letters: str) -> str:
        """The names of the letters, the last one stressed."""
        names = [self._letter(letter) for letter in letters if letter in _LETTERS]
        return "".join(name.replace("ˈ", "ˌ") for name in names[:-1]) + (names[-1] if names else "")

    def _letter(self, letter: str) -> str:
        if self._british:
            return {"z": "zˈɛd", "o": "ˈQ", "r": "ˈɑː", "w": "dˈʌbᵊljuː"}.get(letter, _LETTERS[letter])
        return _LETTERS[letter]

    def _compound(self, word: str) -> str | None:
        """The phonemes of two consecutive words of the dictionary, of lengths as similar as possible."""
        middle = len(word) / 2
        for cut in sorted(range(3, len(word) - 2), key=lambda at: abs(at - middle)):
            first, second = self._look(word[:cut]), self._look(word[cut:])
            if first and second and any(vowel in first for vowel in _FULL_VOWELS):
                return first + second.replace("ˈ", "ˌ")
        return None

    def by_rules(self, word: str) -> str:
        """Phonemes by the rules. A word without a vowel sound is spelled."""
        at, phonemes = 0, ""
        while at < len(word):
            taken, sound = self._first_rule(word, at)
            at += taken
            phonemes += sound
        if not any(vowel in phonemes for vowel in _VOWELS):
            return self.spelled(word.replace("'", ""))
        if self._british:
            phonemes = _as_british(phonemes)
        return _stressed(phonemes)

    def _first_rule(self, word: str, at: int) -> tuple[int, str]:
        before, after = word[:at], word[at:]
        for left, letters, right, sound in self._rules[word[at]]:
            if after.startswith(letters) and left.search(before) and right.match(after[len(letters) :]):
                return len(letters), sound
        return 1, ""


def _read_rules() -> Iterator[list[str]]:
    text = files("providers.engines.speech.text").joinpath("letter_to_sound.txt").read_text(encoding="utf-8")
    return (line.split("|") for line in text.splitlines() if not line.startswith("#"))


def _compiled(context: str, frame: str) -> re.Pattern[str]:
    for name, letters in _CLASSES.items():
        context = context.replace(name, letters)
    return re.compile(frame.format(context))


def _is_abbreviation(letters: str) -> bool:
    """Whether capitals are an abbreviation and not a shouted word: they are short, or have no vowel."""
    return len(letters) > 1 and letters.isupper() and (len(letters) <= 4 or not re.search("[AEIOUY]", letters))


def _stressed(phonemes: str) -> str:
    """Stress the first full vowel, which is right for most English words of two syllables and most names."""
    for at, phoneme in enumerate(phonemes):
        if phoneme in _FULL_VOWELS:
            return f"{phonemes[:at]}ˈ{phonemes[at:]}"
    return phonemes


def _as_british(phonemes: str) -> str:
    """Replace the vowels that differ, and drop every r that is not before a vowel."""
    phonemes = phonemes.replace("O", "Q").replace("æ", "a").replace("ɜɹ", "ɜː").replace("ᵻ", "ɪ")
    phonemes = re.sub("ɑɹ(?![AIQWYaiuæɑɒɔəɛɜɪʊʌ])", "ɑː", phonemes)
    phonemes = re.sub("ɔɹ?(?![AIQWYaiuæɑɒɔəɛɜɪʊʌɹ])", "ɔː", phonemes)
    phonemes = re.sub("([əɛɪʊ])ɹ(?![AIQWYaiuæɑɒɔəɛɜɪʊʌ])", r"\1", phonemes)
    phonemes = re.sub("ɑ(?!ː)", "ɒ", phonemes)
    return re.sub("([iu])(?!ː|$|[AIQWYaiuæɑɒɔəɛɜɪʊʌ])", r"\1ː", phonemes)
