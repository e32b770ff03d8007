"""English abbreviations in words."""

from __future__ import annotations

import re

from providers.engines.speech.text.mapped import Mapped

__all__ = ["expanded"]

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

_INITIAL = re.compile(r"(?<![\w.])([A-HJ-Z])\.(?=\s+[A-Z])")
"""A letter that stands for a name, as in J. K. Rowling; `I` ends sentences."""

_ABBREVIATION = re.compile(
    r"(?<![\w.])(?:"
    + "|".join(re.escape(short) for short in sorted(_ABBREVIATIONS, key=len, reverse=True))
    + r")(?!\w)"
)


def expanded(text: Mapped) -> Mapped:
    """The text with its abbreviations in words, and with the initials of names without their dots."""
    return text.sub(_ABBREVIATION, _expanded).sub(_INITIAL, r"\1")


def _expanded(match: re.Match[str]) -> str:
    short = match.group()

    def before(following: re.Pattern[str]) -> bool:
        return following.match(match.string, match.end()) is not None

    if short in _AMBIGUOUS and not before(_NUMBER_OR_NAME):
        return short
    if short == "No." and not before(_DIGIT):
        return short
    if short == "St." and not before(_NAME):
        return "Street" + ("." if before(_END) else "")
    ends = short in _ENDING and before(_SENTENCE_END)
    return _ABBREVIATIONS[short] + ("." if ends else "")


_NUMBER_OR_NAME = re.compile(r"\s*[\dA-Z]")
_DIGIT = re.compile(r"\s*\d")
_NAME = re.compile(r"\s*[A-Z]")
_END = re.compile(r"\s*$|\n")
_SENTENCE_END = re.compile(r"\s*(?:$|\n)|\s+[A-Z]")
