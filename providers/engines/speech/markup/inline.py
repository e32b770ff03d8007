"""The marks within a paragraph: emphasis, code, links, HTML's tags and entities, sounds, stresses and pauses.

One pass finds the marks, and each kind is paired with a stack, so that the time is linear. What is not paired is text.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Container

import attrs

from providers.engines.speech.markup.marks import NOTES, PAUSES, Marks, Sound
from providers.engines.speech.text.alphabet import looks_like_phonemes
from providers.engines.speech.text.mapped import Mapped

__all__ = ["BLOCK_TAGS", "BREAK", "lines_joined", "spoken_text"]

_TOKEN = re.compile(
    r"""
      (?P<escape>\\(?=[!-/:-@\[-`{-~]))
    | (?P<ticks>`+)
    | (?P<pause>\[pause\s*[:=\s]\s*(?P<amount>\d{1,9}(?:\.\d{1,9})?)\s*(?P<unit>ms|s)?\])
    | (?P<break><break(?:\s+time\s*=\s*["']?(?P<time>\d{1,9}(?:\.\d{1,9})?)\s*(?P<scale>ms|s)["']?)?\s*/?>(?:</break>)?)
    | (?P<auto><(?P<address>(?:(?P<scheme>mailto:)|https?://)[^\s<>]+|[\w.+-]{1,64}@[\w.-]+\.\w{2,})>)
    | (?P<comment><!--|-->)
    | (?P<tag><(?P<slash>/?)(?P<name>[a-z][a-z0-9]{0,9})(?:\s+[a-z-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'))*\s*/?>)
    | (?P<footnote>\[\^[\w-]{1,32}\]:?)
    | (?P<open>!?\[)
    | (?P<close>\](?:\((?P<target>/[^/()\n]{1,200}/|(?:[^()\s]|\([^()\s]*\))*|<[^<>\n]*>)(?:[ ]"[^"\n]{0,300}")?\))?)
    | (?P<entity>&(?:\#\d{1,7}|\#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});)
    | (?P<url>(?:https?://|www\.)[^\s<>*()\[\]`]+)
    | (?P<emphasis>\*+|_+|~~)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_INLINE_TAG = re.compile(
    "a|abbr|b|big|cite|code|del|em|font|i|ins|kbd|mark|q|s|samp|small|span|strike|strong|sub|sup|time|tt|u|var"
)
_LONE_TAG = re.compile("br|hr|img|input|li|p|wbr")
BLOCK_TAGS = (
    "article|aside|blockquote|body|caption|center|dd|details|div|dl|dt|figcaption|figure|footer|h[1-6]|head|header|"
    "html|main|nav|ol|pre|section|summary|table|tbody|td|tfoot|th|thead|title|tr|ul"
)
"""As alternatives of a regular expression."""
_BLOCK_TAG = re.compile(BLOCK_TAGS)
_TARGET = re.compile(r"[/.#:?<]")
"""What the target of a link has, and what is written in brackets after a word seldom has."""
_LABEL = re.compile(r"\[([^\[\]\n]{0,200})\]")
_RESERVED = re.compile(f"[{NOTES}{PAUSES}]")
BREAK = 0.5
"""Seconds of a break without a time."""
_LEVEL = re.compile(r"[+-]?(?:[12]|0\.5|0)")
_WRAPPED = 60
"""Characters of a line after which a small letter continues a sentence, not a verse."""
_CLOSING = "\"'”’)]"
_ENDING = frozenset((*".!?…:;,—–-", ""))
"""What a line ends with that needs no comma."""
_LINE_END = re.compile(r"(?<!\s)\s*\n\s*")


def spoken_text(text: Mapped, marks: Marks, references: Container[str] | None = None) -> Mapped:
    """A paragraph without its marks, which are added to `marks`. The end of a line is a comma, or a blank.

    Args:
        references: the labels of links that the document defines, if it is Markdown. None for a text that may be, of
            which only unmistakable marks are taken out.

    Raises:
        InvalidRequest: a pause is too long.
    """
    return lines_joined(_Scan(text, marks, references).result())


def lines_joined(text: Mapped) -> Mapped:
    """The lines of a paragraph with commas between them, and blanks where a line is only wrapped."""
    begun = 0

    def joint(match: re.Match[str]) -> str:
        nonlocal begun
        line, following = match.string[begun : match.start()], match.string[match.end() : match.end() + 1]
        begun = match.end()
        if not following or not line:
            return " "
        wrapped = len(line) >= _WRAPPED and following.islower()
        return " " if wrapped or line.rstrip(_CLOSING)[-1:] in _ENDING else ", "

    return text.sub(_LINE_END, joint)


@attrs.frozen
class _Edit:
    """What replaces a mark. `new` stands for the characters from `first` to `last`, of the whole mark if None."""

    start: int
    end: int
    new: str = ""
    first: int | None = None
    last: int | None = None


@attrs.define
class _Run:
    """A run of marks of emphasis: those from `start` to `end` are not paired yet."""

    start: int
    end: int


class _Scan:
    """The scan of one paragraph.

    Each method takes a token, adds the edits that it means, and returns where to go on if not after it.
    """

    def __init__(self, text: Mapped, marks: Marks, references: Container[str] | None) -> None:
        self._text = text
        self._marks = marks
        self._references = references
        self._edits: list[_Edit] = []
        self._brackets: list[tuple[int, int]] = []
        self._tags: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._runs: dict[str, list[_Run]] = defaultdict(list)
        self._ticks: dict[int, list[int]] = defaultdict(list)
        for ticks in re.finditer("`+", text.text):
            self._ticks[len(ticks[0])].append(ticks.start())
        self._last_comment = text.text.rfind("-->")

    def result(self) -> Mapped:
        handlers: dict[str, Callable[[re.Match[str]], int | None]] = {
            "escape": self._escape,
            "ticks": self._code,
            "pause": self._pause,
            "break": self._pause,
            "auto": self._autolink,
            "comment": self._comment,
            "tag": self._tag,
            "footnote": lambda token: self._cut(*token.span()),
            "open": lambda token: self._brackets.append(token.span()),
            "close": self._close,
            "entity": self._entity,
            "url": lambda token: None,
            "emphasis": self._emphasis,
        }
        at = 0
        while (token := _TOKEN.search(self._text.text, at)) is not None:
            at = handlers[token.lastgroup or ""](token) or token.end()
        return self._edited()

    def _cut(self, start: int, end: int, new: str = "") -> None:
        self._edits.append(_Edit(start, end, new))

    def _escape(self, token: re.Match[str]) -> int:
        self._cut(*token.span())
        return token.end() + 1

    def _code(self, token: re.Match[str]) -> int | None:
        """Code ends at the next run of as many backticks, and nothing in it is a mark."""
        runs = self._ticks[len(token[0])]
        number = bisect_right(runs, token.start())
        if number == len(runs):
            return None
        end = runs[number] + len(token[0])
        self._cut(*token.span())
        self._cut(runs[number], end)
        return end

    def _pause(self, token: re.Match[str]) -> None:
        amount, unit = token["amount"] or token["time"], token["unit"] or token["scale"] or "s"
        seconds = BREAK if amount is None else float(amount) / (1000 if unit.lower() == "ms" else 1)
        self._cut(*token.span(), self._marks.pause(seconds, self._text.starts[token.start()]))

    def _autolink(self, token: re.Match[str]) -> int:
        self._cut(token.start(), token.end("scheme") if token["scheme"] else token.start("address"))
        self._cut(token.end() - 1, token.end())
        return token.end()

    def _comment(self, token: re.Match[str]) -> int | None:
        """A comment is silent where the text is known to be Markdown; elsewhere only its marks are."""
        if self._references is None or token[0] == "-->" or self._last_comment < token.end():
            self._cut(*token.span())
            return None
        end = self._text.text.index("-->", token.end()) + len("-->")
        self._cut(token.start(), end)
        return end

    def _tag(self, token: re.Match[str]) -> int | None:
        name = token["name"].lower()
        is_inline = _INLINE_TAG.fullmatch(name) is not None
        new = "" if is_inline else "\n"
        if _LONE_TAG.fullmatch(name) or self._references is not None:
            self._cut(*token.span(), new)
        elif not is_inline and not _BLOCK_TAG.fullmatch(name):
            return token.start() + 1
        elif not token["slash"]:
            self._tags[name].append(token.span())
        elif self._tags[name]:
            self._cut(*self._tags[name].pop(), new)
            self._cut(*token.span(), new)
        else:
            return token.start() + 1
        return None

    def _close(self, token: re.Match[str]) -> int | None:
        """What a pair of square brackets is, by what follows it."""
        if not self._brackets:
            return token.start() + 1
        start, begin = self._brackets.pop()
        end, target = token.start(), token["target"]
        if target is None:
            return self._reference(start, begin, end)
        is_image = self._text.text[start] == "!"
        if not is_image and begin < end and looks_like_phonemes(target):
            self._sound(start, begin, token)
        elif not is_image and begin < end and _LEVEL.fullmatch(target):
            self._marks.stress(*self._text.stretch(begin, end), float(target))
            self._cut(start, begin)
            self._cut(end, token.end())
        elif self._references is not None or not target or _TARGET.search(target):
            self._cut(start, begin)
            self._cut(end, token.end())
        else:
            return end + 1
        return None

    def _sound(self, start: int, begin: int, token: re.Match[str]) -> None:
        end = token.start()
        written = self._text.text[begin:end]
        position = self._text.starts[token.start("target") + 1]
        note = self._marks.note(Sound(written, token["target"][1:-1], position=position))
        self._marks.silent.append(self._text.stretch(start, begin))
        self._marks.silent.append(self._text.stretch(end, token.end()))
        self._edits.append(_Edit(start, token.end(), note, begin, end))

    def _reference(self, start: int, begin: int, end: int) -> int:
        """`[text][label]`, `[label][]` or `[label]`, if the document defines the label."""
        if self._references is not None:
            written = self._text.text[begin:end]
            label = _LABEL.match(self._text.text, end + 1)
            if label is not None and _folded(label[1] or written) in self._references:
                self._cut(start, begin)
                self._cut(end, label.end())
                return label.end()
            if _folded(written) in self._references:
                self._cut(start, begin)
                self._cut(end, end + 1)
        return end + 1

    def _entity(self, token: re.Match[str]) -> int | None:
        character = html.unescape(token[0])
        if character == token[0]:
            return token.start() + 1
        self._cut(*token.span(), _RESERVED.sub(" ", character))
        return None

    def _emphasis(self, token: re.Match[str]) -> None:
        """Pair a run with those before it, by CommonMark's rules, except that a mark between letters is a character."""
        text, (start, end) = self._text.text, token.span()
        before, after = text[start - 1 : start] or " ", text[end : end + 1] or " "
        if before.isalnum() and after.isalnum():
            between_digits = before.isdigit() and after.isdigit()
            if token[0][0] == "_" or between_digits or (end - start == 1 and self._references is None):
                return
        mark = token[0][0]
        runs = self._runs[mark]
        if not before.isspace() and (not _is_punctuation(before) or not after.isalnum()):
            while runs and start < end:
                number = min(runs[-1].end - runs[-1].start, end - start)
                self._cut(runs[-1].end - number, runs[-1].end)
                self._cut(start, start + number)
                start += number
                runs[-1].end -= number
                if runs[-1].end == runs[-1].start:
                    runs.pop()
        if start < end and not after.isspace() and (not _is_punctuation(after) or not before.isalnum()):
            runs.append(_Run(start, end))

    def _edited(self) -> Mapped:
        parts, at = [], 0
        for edit in sorted(self._edits, key=lambda edit: (edit.start, -edit.end)):
            if edit.start < at:
                continue
            parts.append(self._text[at : edit.start])
            stretch = self._text.stretch(edit.start, edit.end)
            if edit.first is None or edit.last is None:
                self._marks.silent.append(stretch)
            else:
                stretch = self._text.stretch(edit.first, edit.last)
            if edit.new:
                parts.append(Mapped.made_of(edit.new, *stretch))
            at = edit.end
        return Mapped.joined([*parts, self._text[at:]])


def _folded(label: str) -> str:
    return " ".join(label.split()).casefold()


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"
