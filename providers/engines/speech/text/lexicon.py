"""English words in misaki's dictionaries, their inflections, and words whose sound depends on the next one.

After misaki 0.9.4, Copyright hexgrad, Apache License 2.0 (see NOTICE). Changed: typed, and without its numbers and
currencies, which `normalize` writes in words. misaki itself cannot be a dependency: its metadata excludes Python 3.13
and newer.
"""

from __future__ import annotations

import gzip
import json
import re
import string
import unicodedata
from importlib.resources import files

import attrs

from providers.engines.speech.text.stress import PRIMARY, SECONDARY, apply_stress

__all__ = ["Context", "Lexicon"]

Entry = str | dict[str, str | None]
"""Phonemes, or phonemes by part of speech, one of them `DEFAULT`."""

ADD_SYMBOLS = {".": "dot", "/": "slash"}
SYMBOLS = {"%": "percent", "&": "and", "+": "plus", "@": "at"}
LETTERS = frozenset(string.ascii_letters + "'-")
TAPPED_AFTER = frozenset("AIOWYiuæɑəɛɪɹʊʌ")
"""American English taps a t between one of these and a vowel: `writing`."""
CAPITALISED, CAPITALS = 0.5, 2.0
"""Stress of a word with both capital and small letters, and of one without small letters."""


@attrs.frozen
class Context:
    """The next sound and word."""

    vowel: bool | None = None
    """Whether the next sound is a vowel; None before a pause."""
    to: bool = False
    """Whether the next word is `to`."""


class Lexicon:
    """American or British pronunciations.

    `golds` are checked by hand; `silvers` are not.
    """

    def __init__(self, *, british: bool) -> None:
        self.british = british
        country = "gb" if british else "us"
        self.golds = _dictionary(f"{country}_gold")
        self.silvers = _dictionary(f"{country}_silver")
        self._reduced = "ɪ" if british else "ᵻ"

    def __call__(self, text: str, tag: str, context: Context) -> str | None:
        """The phonemes of a word, or None for an unknown one. `tag`: its part of speech in the Penn Treebank's set."""
        word = unicodedata.normalize("NFKC", text.replace("‘", "'").replace("’", "'"))
        stress = None if word == word.lower() else CAPITALS if word == word.upper() else CAPITALISED
        special = self._special(word, tag, stress, context)
        if special is not None:
            return special
        if self._is_capitalised_form(word, tag, stress, context):
            word = word.lower()
        if self._is_known(word):
            return self._look(word, tag, stress, context)
        if word.endswith("s'") and self._is_known(word[:-2] + "'s"):
            return self._look(word[:-2] + "'s", tag, stress, context)
        if word.endswith("'") and self._is_known(word[:-1]):
            return self._look(word[:-1], tag, stress, context)
        return self._inflected(word, tag, stress, CAPITALISED if stress is None else stress, context)

    def _is_capitalised_form(self, word: str, tag: str, stress: float | None, context: Context) -> bool:
        """Whether the dictionaries know the word, or what it is an inflection of, only in small letters."""
        lower = word.lower()
        return (
            len(word) > 1
            and word.replace("'", "").isalpha()
            and word != lower
            and (tag != "NNP" or len(word) > 7)
            and word not in self.golds
            and word not in self.silvers
            and (word == word.upper() or word[1:] == word[1:].lower())
            and (
                lower in self.golds
                or lower in self.silvers
                or bool(self._inflected(lower, tag, stress, stress, context))
            )
        )

    def _is_known(self, word: str) -> bool:
        if word in self.golds or word in SYMBOLS or word in self.silvers:
            return True
        if not word.isalpha() or not LETTERS.issuperset(word):
            return False
        # Single letters and abbreviations can be spelled.
        return len(word) == 1 or (word == word.upper() and word.lower() in self.golds) or word[1:] == word[1:].upper()

    def _look(self, word: str, tag: str | None, stress: float | None, context: Context | None) -> str | None:
        is_name = False
        if word == word.upper() and word not in self.golds:
            word = word.lower()
            is_name = tag == "NNP"
        entry = self.golds.get(word)
        if entry is None and not is_name:
            entry = self.silvers.get(word)
        if isinstance(entry, dict):
            if context is not None and context.vowel is None and "None" in entry:
                tag = "None"
            elif tag not in entry:
                tag = _parent(tag)
            phonemes = entry.get(tag or "", entry["DEFAULT"])
        else:
            phonemes = entry
        if phonemes is None or (is_name and PRIMARY not in phonemes):
            spelled = self._spelled(word)
            if spelled is not None:
                return spelled
        return None if phonemes is None else apply_stress(phonemes, stress)

    def _spelled(self, word: str) -> str | None:
        """The names of the letters, the last one stressed."""
        phonemes = ""
        for letter in filter(str.isalpha, word):
            name = self.golds.get(letter.upper())
            if not isinstance(name, str):
                return None
            phonemes += name
        return PRIMARY.join(apply_stress(phonemes, 0).rsplit(SECONDARY, 1))

    def _special(self, word: str, tag: str, stress: float | None, context: Context) -> str | None:
        """Symbols, abbreviations with dots, and function words."""
        if tag == "ADD" and word in ADD_SYMBOLS:
            return self._look(ADD_SYMBOLS[word], None, -0.5, context)
        if word in SYMBOLS:
            return self._look(SYMBOLS[word], None, None, context)
        if "." in word.strip(".") and word.replace(".", "").isalpha() and max(map(len, word.split("."))) < 3:
            return self._spelled(word)
        if tag == "IN" and re.match(r"(?i)vs\.?$", word):
            return self._look("versus", None, None, context)
        return self._function_word(word, tag, stress, context)

    def _function_word(self, word: str, tag: str, stress: float | None, context: Context) -> str | None:
        match word:
            case "a" | "A":
                return "ɐ" if tag == "DT" else "ˈA"
            case "am" | "Am" | "AM":
                if tag.startswith("NN"):
                    return self._spelled(word)
                stressed = context.vowel is None or word != "am" or (stress is not None and stress > 0)
                return self._plain("am") if stressed else "ɐm"
            case "an" | "An" | "AN":
                return self._spelled(word) if word == "AN" and tag.startswith("NN") else "ɐn"
            case "I" if tag == "PRP":
                return "ˌI"
            case "by" | "By" | "BY" if _parent(tag) == "ADV":
                return "bˈI"
            case "to" | "To" | "TO" if word != "TO" or tag in ("TO", "IN"):
                return self._plain("to") if context.vowel is None else "tʊ" if context.vowel else "tə"
            case "in" | "In" | "IN" if word != "IN" or tag != "NNP":
                return "ˈɪn" if context.vowel is None or tag != "IN" else "ɪn"
            case "the" | "The" | "THE" if word != "THE" or tag == "DT":
                return "ði" if context.vowel else "ðə"
            case "used" | "Used" | "USED":
                return self._plain("used", "VBD" if tag in ("VBD", "JJ") and context.to else "DEFAULT")
        return None

    def _plain(self, word: str, tag: str = "DEFAULT") -> str | None:
        """The dictionary's phonemes, with their stress unchanged."""
        entry = self.golds[word]
        return entry[tag] if isinstance(entry, dict) else entry

    def _inflected(
        self, word: str, tag: str, stress: float | None, stress_of_ing: float | None, context: Context
    ) -> str | None:
        return (
            self._with_s(word, tag, stress, context)
            or self._with_ed(word, tag, stress, context)
            or self._with_ing(word, tag, stress_of_ing, context)
        )

    def _with_s(self, word: str, tag: str, stress: float | None, context: Context) -> str | None:
        if len(word) < 3 or not word.endswith("s"):
            return None
        if not word.endswith("ss") and self._is_known(word[:-1]):
            stem = word[:-1]
        elif (
            word.endswith("'s") or (len(word) > 4 and word.endswith("es") and not word.endswith("ies"))
        ) and self._is_known(word[:-2]):
            stem = word[:-2]
        elif len(word) > 4 and word.endswith("ies") and self._is_known(word[:-3] + "y"):
            stem = word[:-3] + "y"
        else:
            return None
        phonemes = self._look(stem, tag, stress, context)
        if not phonemes:
            return None
        if phonemes[-1] in "ptkfθ":
            return phonemes + "s"
        if phonemes[-1] in "szʃʒʧʤ":
            return phonemes + self._reduced + "z"
        return phonemes + "z"

    def _with_ed(self, word: str, tag: str, stress: float | None, context: Context) -> str | None:
        if len(word) < 4 or not word.endswith("d"):
            return None
        if not word.endswith("dd") and self._is_known(word[:-1]):
            stem = word[:-1]
        elif len(word) > 4 and word.endswith("ed") and not word.endswith("eed") and self._is_known(word[:-2]):
            stem = word[:-2]
        else:
            return None
        phonemes = self._look(stem, tag, stress, context)
        if not phonemes:
            return None
        last = phonemes[-1]
        if last in "pkfθʃsʧ":
            return phonemes + "t"
        if last == "d":
            return phonemes + self._reduced + "d"
        if last != "t":
            return phonemes + "d"
        if self.british or len(phonemes) < 2:
            return phonemes + "ɪd"
        return phonemes[:-1] + "ɾᵻd" if phonemes[-2] in TAPPED_AFTER else phonemes + "ᵻd"

    def _with_ing(self, word: str, tag: str, stress: float | None, context: Context) -> str | None:
        if len(word) < 5 or not word.endswith("ing"):
            return None
        if len(word) > 5 and self._is_known(word[:-3]):
            stem = word[:-3]
        elif self._is_known(word[:-3] + "e"):
            stem = word[:-3] + "e"
        elif len(word) > 5 and re.search(r"([bcdgklmnprstvxz])\1ing$|cking$", word) and self._is_known(word[:-4]):
            stem = word[:-4]
        else:
            return None
        phonemes = self._look(stem, tag, stress, context)
        if not phonemes or (self.british and phonemes[-1] in "əː"):
            return None
        if not self.british and len(phonemes) > 1 and phonemes[-1] == "t" and phonemes[-2] in TAPPED_AFTER:
            return phonemes[:-1] + "ɾɪŋ"
        return phonemes + "ɪŋ"


def _parent(tag: str | None) -> str | None:
    """The dictionaries' class of a part of speech."""
    if tag is None:
        return None
    for beginnings, parent in ((("VB",), "VERB"), (("NN",), "NOUN"), (("ADV", "RB"), "ADV"), (("ADJ", "JJ"), "ADJ")):
        if tag.startswith(beginnings):
            return parent
    return tag


def _dictionary(name: str) -> dict[str, Entry]:
    """One dictionary, extended by the capitalised form of words in small letters, and the reverse."""
    packed = files("providers.engines.speech.text").joinpath("dictionaries", f"{name}.json.gz").read_bytes()
    entries: dict[str, Entry] = json.loads(gzip.decompress(packed))
    grown: dict[str, Entry] = {}
    for word, entry in entries.items():
        if len(word) < 2:
            continue
        if word == word.lower():
            if word != word.capitalize():
                grown[word.capitalize()] = entry
        elif word == word.lower().capitalize():
            grown[word.lower()] = entry
    return {**grown, **entries}
