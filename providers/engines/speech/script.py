"""What a request says, line by line: its turns, and of a long streamed text one section after the other."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from itertools import chain, islice

import attrs
from msgspec import structs

from providers.engines.speech.intake import SpeechIntake, SpeechJob
from providers.engines.speech.segmentation import Piece
from providers.engines.speech.text.g2p import Chunk
from providers.errors import InvalidRequest
from providers.speech.turns import TURN_REST, at_path, requests_of
from providers.speech.types import SpeechRequest, Unspoken

__all__ = ["Line", "Script", "Scripts", "sections"]

_EAGER = 4096
"""Characters of a streamed text that is read as a whole before it is spoken: 60 sentences, in about 0.2 seconds."""
_FIRST_SECTION = 1000
_SECTION = 2000
_BLANK = re.compile(r"\n[ \t]*\n")
_SENTENCE = re.compile(r"(?<=[^\W\d_]{3}[.!?…])[\"”’')]*\s+|(?<=[\u3002\uff01\uff1f])")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_WHOLE = re.compile(r"\s*<")
"""A text that begins with an element is read as a whole: it may be SSML."""


@attrs.frozen
class Line:
    """A piece, and how it is spoken. `turn`: the number of its turn; None if the request has none."""

    piece: Piece
    voices: list[tuple[str, float]]
    speed: float
    turn: int | None = None


@attrs.frozen(eq=False)
class Script:
    """A checked request. `deadline` is on `time.monotonic`'s clock."""

    id: str
    lines: Iterator[Line]
    """Those of a long streamed text are read while the lines before are spoken."""
    unspoken: list[Unspoken]
    """What is not said of the text, as far as it is read."""
    characters: int
    streamed: bool
    deadline: float | None


class Scripts:
    """Writes scripts. A script is written on the intake thread, and may be read on in another."""

    def __init__(self, intake: SpeechIntake) -> None:
        self._intake = intake
        self._reading = threading.Lock()

    def write(self, request: SpeechRequest) -> Script:
        """Check a request and read its text, or the beginning of a long one.

        Raises:
            InvalidRequest: `param` names the wrong parameter.
        """
        received = time.monotonic()
        unspoken: list[Unspoken] = []
        lines = self._turns(request, unspoken) if request.turns else self._sections(request, unspoken)
        return Script(
            id=request.id,
            lines=lines,
            unspoken=unspoken,
            characters=sum(len(one.text) for one in requests_of(request)),
            streamed=request.streamed,
            deadline=None if request.timeout is None else received + request.timeout,
        )

    def _turns(self, request: SpeechRequest, unspoken: list[Unspoken]) -> Iterator[Line]:
        """All turns, because any of them may be wrong."""
        lines: list[Line] = []
        for turn, one in enumerate(requests_of(request)):
            try:
                job = self._job(one)
            except InvalidRequest as error:
                error = at_path(error, "input", f"input[{turn}].text")
                raise at_path(error, "voice", request.turns[turn].voice_path) from None
            unspoken += [structs.replace(word, turn=turn) for word in job.unspoken]
            pieces = list(job.pieces)
            if lines and pieces:
                lines[-1] = attrs.evolve(lines[-1], piece=_resting(lines[-1].piece))
            lines += [Line(piece, one.voices, one.speed, turn) for piece in pieces]
        return iter(lines)

    def _sections(self, request: SpeechRequest, unspoken: list[Unspoken]) -> Iterator[Line]:
        long = request.streamed and len(request.text) > _EAGER and request.input_format != "markdown"
        read = self._lines(request, [*sections(request.text)] if long else [request.text], unspoken)
        return chain(list(islice(read, 1)), read) if long else iter(list(read))

    def _lines(self, request: SpeechRequest, texts: list[str], unspoken: list[Unspoken]) -> Iterator[Line]:
        start, said = 0, False
        for text in texts:
            job = self._job(structs.replace(request, text=text), is_part=len(texts) > 1)
            unspoken += [_moved(word, start) for word in job.unspoken]
            for piece in job.pieces:
                said = True
                yield Line(_shifted(piece, start), request.voices, request.speed)
            start += len(text)
        if unspoken and not said:
            self._job(request)  # refuses the text

    def _job(self, request: SpeechRequest, *, is_part: bool = False) -> SpeechJob:
        with self._reading:
            return self._intake.job(request, is_part=is_part)


def sections(text: str) -> Iterator[str]:
    """Parts of a text that can be read one by one. They end between paragraphs, or else between sentences; joined,
    they are the text."""
    start, size = 0, _FIRST_SECTION
    while len(text) - start > size + _SECTION and not _WHOLE.match(text):
        end = _section_end(text, start, size)
        if end is None:
            break
        yield text[start:end]
        start, size = end, _SECTION
    if start < len(text):
        yield text[start:]


def _section_end(text: str, start: int, size: int) -> int | None:
    for border in (_BLANK, _SENTENCE):
        for found in border.finditer(text, start + size, start + size + _SECTION):
            # Not within a fenced block of code.
            if len(_FENCE.findall(text, start, found.end())) % 2 == 0:
                return found.end()
    return None


def _resting(piece: Piece) -> Piece:
    """The last piece of a turn, which ends with a pause."""
    return attrs.evolve(piece, rest=max(piece.rest or 0.0, TURN_REST))


def _shifted(piece: Piece, start: int) -> Piece:
    return attrs.evolve(piece, chunks=tuple(_chunk_after(chunk, start) for chunk in piece.chunks)) if start else piece


def _chunk_after(chunk: Chunk, start: int) -> Chunk:
    return attrs.evolve(
        chunk,
        start_char=chunk.start_char + start,
        end_char=chunk.end_char + start,
        first_char=chunk.first_char + start,
        last_char=chunk.last_char + start,
    )


def _moved(word: Unspoken, start: int) -> Unspoken:
    return structs.replace(word, start_char=word.start_char + start, end_char=word.end_char + start)
