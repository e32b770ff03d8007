"""Text as it is read aloud: without Markdown's marks, and with numbers, units, abbreviations, links and signs in words.

The result is sentences of letters and the punctuation that the voice knows, with single spaces between words. Emoji and
letters of scripts that English is not written in are left out.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

from providers.engines.speech.text import numbers
from providers.engines.speech.text.letter_to_sound import plain_letters

__all__ = ["normalize", "sentences"]

_ABBREVIATIONS = {
    "Mr.": "Mister",
    "Mrs.": "Missus",
    "Ms.": "Miz",
    "Dr.": "Doctor",
    "Prof.": "Professor",
    "Sr.": "Senior",
    "Jr.": "Junior",
    "St.": "Saint",
    "Gen.": "General",
    "Sen.": "Senator",
    "Gov.": "Governor",
    "Capt.": "Captain",
    "Lt.": "Lieutenant",
    "Sgt.": "Sergeant",
    "Rev.": "Reverend",
    "Ave.": "Avenue",
    "Blvd.": "Boulevard",
    "Mt.": "Mount",
    "Inc.": "Incorporated",
    "Corp.": "Corporation",
    "Ltd.": "Limited",
    "Co.": "Company",
    "Dept.": "Department",
    "dept.": "department",
    "approx.": "approximately",
    "vs.": "versus",
    "vs": "versus",
    "etc.": "et cetera",
    "e.g.": "for example",
    "i.e.": "that is",
    "cf.": "compare",
    "et al.": "and others",
    "a.k.a.": "also known as",
    "w/o": "without",
    "w/": "with ",
    "Fig.": "Figure",
    "fig.": "figure",
    "Vol.": "Volume",
    "vol.": "volume",
    "Ch.": "Chapter",
    "pp.": "pages",
    "No.": "Number",
    "est.": "established",
    "max.": "maximum",
    "min.": "minimum",
}
# These keep their full stop at the end of a sentence.
_ENDING = frozenset(("etc.", "Inc.", "Corp.", "Ltd.", "Co.", "Jr.", "Sr.", "et al."))
# These are also ordinary words before a full stop, and so abbreviations only before a number or a name.
_AMBIGUOUS = frozenset(("No.", "est.", "min.", "max.", "Fig.", "fig.", "Ch.", "Gen.", "Co."))

_SIGNS = {
    "&": " and ",
    "@": " at ",
    "+": " plus ",
    "=": " equals ",
    "<": " less than ",
    ">": " greater than ",
    "×": " times ",
    "÷": " divided by ",
    "±": " plus or minus ",
    "≈": " approximately ",
    "≠": " is not equal to ",
    "≤": " at most ",
    "≥": " at least ",
    "→": " to ",
    "⇒": " implies ",
    "√": " square root of ",
    "∞": " infinity ",
    "π": " pi ",
    "µ": " micro ",
    "°": " degrees ",
    "%": " percent ",
    "‰": " per mille ",
    "©": " copyright ",
    "§": " section ",
    "^": " to the power of ",
    "#": " ",
    "*": " ",
    "~": " ",
    "|": ", ",
    "\\": " ",
    "_": " ",
    "/": " slash ",
    "$": " dollars ",
    "€": " euros ",
    "£": " pounds ",
    "¥": " yen ",
    "{": ", ",
    "}": ", ",
    "[": " (",
    "]": ") ",
    "²": " squared ",
    "³": " cubed ",
    "•": ", ",
    "·": " ",
}

_QUOTES = str.maketrans({"‘": "'", "’": "'", "‛": "'", "′": "'", "„": "“", "«": "“", "»": "”", "″": '"'})

_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"“”]*[^\s<>\"“”.,;:!?)'\]]", re.IGNORECASE)
_DOMAIN = re.compile(
    r"(?<![@\w.])(?:[a-z0-9-]+\.)+(?:com|org|net|io|ai|dev|edu|gov|co|uk|de|fr|eu|app|info|me|tv)\b(?:/[\w./-]*\w)?",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]++@(?:[\w-]+\.)+[a-z]{2,}", re.IGNORECASE)
_ADDRESS_SIGNS = {".": " dot ", "/": " slash ", "-": " dash ", "_": " underscore ", "@": " at ", "+": " plus "}
_ADDRESS_SIGNS |= {
    "?": " question mark ",
    "=": " equals ",
    "&": " and ",
    "#": " hash ",
    ":": " colon ",
    "%": " percent ",
}

_LONG_WORD = 60
_LONG_PART = 30
"""Letters of the parts in which a longer word is read."""

_KEPT = frozenset(".,;:!?—…\"“”()'- \n")
_SENTENCE = re.compile(r"(?<=[.!?…])[\"”')]*\s+(?=[\"“'(]*[^\W\d_a-z])|\n+")


def normalize(text: str, *, british: bool = False) -> str:
    """The text in words. Lines are sentences, or parts of them that stand on their own, as headings and list items do.

    Empty where there is nothing to say.
    """
    text = unicodedata.normalize("NFC", text).translate(_QUOTES)
    text = re.sub(
        r"[^\S\n]+", " ", _markdown_to_text(text)
    )  # the patterns below take quadratic time in a run of blanks
    text = re.sub(r"\.{3,}", "…", text)
    text = re.sub(r"\s*(?:(?<=\s)-{1,3}(?=\s)|(?<!-)--(?!-)|[–―])\s*(?!\d)", " — ", text).replace("—", " — ")
    text = _EMAIL.sub(_address, text)
    text = _DOMAIN.sub(_address, _URL.sub(_address, text))
    text = _ABBREVIATION.sub(_expanded, text).replace("and/or", "and or")
    text = _INITIAL.sub(r"\1", text)
    text = numbers.to_words(text, british=british)
    return _tidy(_only_speakable(text))


def sentences(normalized: str) -> list[str]:
    """The sentences of a normalised text, in order. Joined by spaces, they are the text."""
    found = []
    start = 0
    for border in _SENTENCE.finditer(normalized):
        # Closing quotes and brackets belong to the sentence that they close.
        end = border.start() + len(border.group().rstrip())
        found.append(normalized[start:end].strip())
        start = border.end()
    found.append(normalized[start:].strip())
    return [sentence for sentence in found if any(character.isalpha() for character in sentence)]


def _markdown_to_text(text: str) -> str:
    """The text of a Markdown document: one line per block, links by their words, with the numbers of lists."""
    lines: list[str] = []
    numbered: list[str] = []
    for token in _markdown().parse(text):
        if token.type == "list_item_open" and token.info:
            numbered.append(f"{token.info}: ")
        elif token.type == "inline":
            lines.append("".join(numbered) + "".join(_inline_text(child) for child in token.children or ()))
            numbered.clear()
        elif token.type in ("fence", "code_block"):
            lines.append(token.content)
        elif token.type == "html_block":
            lines.append(re.sub(r"<[^>]*>", " ", token.content))
    return "\n".join(_ended(line.strip()) for line in lines if line.strip())


def _ended(line: str) -> str:
    """End a block with punctuation: it ends a sentence."""
    return line if line[-1] in ".!?…:;,—\"”'" else f"{line}."


def _inline_text(token: Any) -> str:
    if token.type in ("text", "code_inline"):
        return str(token.content)
    if token.type in ("softbreak", "hardbreak"):
        return " "
    if token.type == "image":
        return "".join(_inline_text(child) for child in token.children or ())
    return ""


@lru_cache(maxsize=1)
def _markdown() -> Any:
    from markdown_it import MarkdownIt

    # Four spaces are plain indentation more often than code.
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).disable(["code"])


def _address(match: re.Match[str]) -> str:
    address = re.sub(r"^(?:https?://)?(?:www\.)?", "", match.group(), flags=re.IGNORECASE)
    return f" {''.join(_ADDRESS_SIGNS.get(character, character) for character in address)} "


_INITIAL = re.compile(r"(?<![\w.])([A-HJ-Z])\.(?=\s+[A-Z])")
"""A letter that stands for a name, as in J. K. Rowling; `I` ends sentences."""

_ABBREVIATION = re.compile(
    r"(?<![\w.])(?:"
    + "|".join(re.escape(short) for short in sorted(_ABBREVIATIONS, key=len, reverse=True))
    + r")(?!\w)"
)


def _expanded(match: re.Match[str]) -> str:
    short, following = match.group(), match.string[match.end() :]
    if short in _AMBIGUOUS and not re.match(r"\s*[\dA-Z]", following):
        return short
    if short == "No." and not re.match(r"\s*\d", following):
        return short
    if short == "St." and not re.match(r"\s*[A-Z]", following):
        return "Street" + ("." if re.match(r"\s*$|\n", following) else "")
    ends = short in _ENDING and re.match(r"\s*(?:$|\n)|\s+[A-Z]", following)
    return _ABBREVIATIONS[short] + ("." if ends else "")


def _only_speakable(text: str) -> str:
    """Replace signs by words, and remove characters that English is not written with."""
    spoken = []
    for character in text:
        if character in _KEPT:
            spoken.append(character)
        elif character in _SIGNS:
            spoken.append(_SIGNS[character])
        elif character.isalpha():
            spoken.append(_letter(character))
        elif not unicodedata.combining(character):
            spoken.append(" ")
    return "".join(spoken)


def _letter(character: str) -> str:
    plain = plain_letters(character.lower())
    if plain.isascii() and plain.isalpha():
        return character if len(character) == 1 and "LATIN" in unicodedata.name(character, "") else plain
    name = unicodedata.name(character, "")
    # A Greek letter in an English text is a symbol that is read by its name.
    return f" {name.rsplit(' ', 1)[-1].lower()} " if name.startswith("GREEK") and "WITH" not in name else " "


def _tidy(text: str) -> str:
    text = re.sub(r"[ \t]+", " ", text)
    text = re.sub(r" +([.,;:!?…)”])", r"\1", text)
    text = re.sub(r"([(“]) +", r"\1", text)
    text = re.sub(r"\( *\)|“ *”|\" *\"", "", text)
    text = re.sub(r"(?<![^\W_])-+|-+(?![^\W_])", " ", text)  # a hyphen not between letters is no hyphen
    text = re.sub(r"(?:[,;:] *)+([.!?…])", r"\1", text)
    text = re.sub(r"([,;:])(?: *[,;:])+", r"\1", text)
    text = re.sub(r"([.!?])[.!?]*([.!?])", lambda match: _strongest(match.group()), text)
    text = re.sub(r"^[ .,;:!?…—)'-]+", "", text, flags=re.MULTILINE)
    text = re.sub(r"(?<=[,;:!?…)”])(?=[^\W\d_])", " ", text)
    text = re.sub(rf"\S{{{_LONG_WORD + 1},}}", _broken, text)
    text = re.sub(r"[ \t]+", " ", text)
    return "\n".join(line.strip() for line in text.split("\n") if any(map(str.isalpha, line)))


def _broken(match: re.Match[str]) -> str:
    """Divide a word that is too long for a sentence into parts."""
    parts = re.split(r"[^\w]+", match.group())
    return " ".join(part[at : at + _LONG_PART] for part in parts for at in range(0, len(part), _LONG_PART))


def _strongest(marks: str) -> str:
    return "?" if "?" in marks else "!" if "!" in marks else "."
