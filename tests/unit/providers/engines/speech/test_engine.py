"""The engine's steps with a synthesiser that makes no sound: what it sends, in which order, and what it holds."""

from __future__ import annotations

import weakref
from itertools import pairwise
from typing import Any, cast

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from providers.engine_host.frames import Events, Failed
from providers.engines.process.engine import Outbox
from providers.engines.process.platform import Platform
from providers.engines.speech.engine import SpeechEngine
from providers.engines.speech.intake import SpeechIntake
from providers.engines.speech.script import Scripts
from providers.engines.speech.timing import FRAME
from providers.speech.types import SAMPLE_RATE, SpeechAccepted, SpeechFinished, SpeechPiece, SpeechRequest, SpeechTurn
from tests.unit.providers.engines.fake_engine import Panic
from tests.unit.providers.engines.speech.test_script import LONG, Reader


@attrs.frozen(eq=False)
class Prepared:
    """Half a second per symbol, and as much before and after."""

    frames: list[int]

    @property
    def samples(self) -> int:
        return FRAME * sum(self.frames)

    @property
    def energy(self) -> NDArray[np.float32]:
        return np.ones(2 * sum(self.frames), np.float32)


@attrs.define(eq=False)
class Synthesiser:
    alive: weakref.WeakSet[Prepared] = attrs.field(factory=weakref.WeakSet)
    most: int = 0
    decoded: list[int] = attrs.field(factory=list)
    fault: BaseException | None = None

    def prepare(self, tokens: list[int], style: object, *, speed: float, seed: int) -> Prepared:
        prepared = Prepared([20] * (len(tokens) + 2))
        self.alive.add(prepared)
        self.most = max(self.most, len(self.alive))
        return prepared

    def decode(self, prepared: Prepared, start: int, stop: int) -> NDArray[np.float32]:
        if self.fault is not None:
            raise self.fault
        self.decoded.append(stop - start)
        return np.ones(stop - start, np.float32)


class Styles:
    def style(self, mix: list[tuple[str, float]], length: int) -> None:
        return None


@attrs.define
class Sentences(Reader):
    """A reader whose pieces are sentences of words with one sound each."""

    def _pieces(self, text: str) -> Any:
        words = list(super()._pieces(text))
        for start in range(0, len(words), 12):
            chunks = tuple(word.chunks[0] for word in words[start : start + 12])
            yield attrs.evolve(words[start], chunks=chunks)


@attrs.define
class Running:
    """An engine, and what it sent."""

    engine: SpeechEngine
    synthesiser: Synthesiser
    reader: Reader
    events: list[tuple[str, Any]] = attrs.field(factory=list)

    def submit(self, id: str, text: str = "", **fields: Any) -> None:
        request = SpeechRequest(id=id, text=text, voices=[("a", 1.0)], **fields)
        self.engine.submit(self.engine._job(request))

    def step(self) -> None:
        out = Outbox(self._receive)
        self.engine.step(out)
        out.flush()

    def run(self) -> list[Any]:
        while self.engine.busy:
            self.step()
        return [event for _, event in self.events]

    def _receive(self, report: Any) -> None:
        assert isinstance(report, (Events, Failed))
        self.events += report.items if isinstance(report, Events) else [(report.id, report)]


@pytest.fixture
def running() -> Running:
    engine, synthesiser, reader = SpeechEngine(Platform(device="cpu", blas="-", threads=1)), Synthesiser(), Sentences()
    known = cast("Any", engine)
    known._kokoro, known._voices, known._vocabulary = synthesiser, Styles(), {"a": 1, " ": 2}
    known._scripts = Scripts(cast("SpeechIntake", reader))
    return Running(engine, synthesiser, reader)


def check(events: list[Any], text: str) -> list[SpeechPiece]:
    accepted, *pieces, finished = events
    assert isinstance(accepted, SpeechAccepted)
    assert isinstance(finished, SpeechFinished)
    spans = [span for piece in pieces for span in piece.phonemes]
    assert spans[0].start == 0
    assert spans[-1].end == finished.samples == sum(len(piece.audio) // 2 for piece in pieces)
    assert all(one.end == other.start for one, other in pairwise(spans))
    words = [word for piece in pieces for word in piece.words]
    assert [word.word for word in words] == [word for word in text.split() if word.isalpha()]
    assert [text[word.start_char : word.end_char] for word in words] == [word.word for word in words]
    assert [piece.last for piece in pieces] == [*[False] * (len(pieces) - 1), True]
    return pieces


SENTENCE = "one two three four five six seven eight nine ten eleven twelve"


def test_a_streamed_sentence_is_sent_in_parts(running: Running) -> None:
    running.submit("r", SENTENCE, streamed=True)
    pieces = check(running.run(), SENTENCE)

    assert len(pieces) > 1
    assert len(pieces[0].audio) / 2 / SAMPLE_RATE < 3
    assert " ".join(piece.text for piece in pieces) == SENTENCE
    assert pieces[0].start_char == 0
    assert all(one.end_char < other.start_char for one, other in pairwise(pieces))


def test_a_file_is_decoded_sentence_by_sentence(running: Running) -> None:
    running.submit("r", f"{SENTENCE} {SENTENCE}")
    assert len(check(running.run(), f"{SENTENCE} {SENTENCE}")) == 2


def test_the_first_sound_of_a_chapter_needs_no_more_than_that_of_a_sentence(running: Running) -> None:
    running.submit("r", LONG, streamed=True)
    while not any(isinstance(event, SpeechPiece) for _, event in running.events):
        running.step()

    assert running.reader.read < 4096
    assert sum(running.synthesiser.decoded) / SAMPLE_RATE < 4


def test_of_a_chapter_one_sentence_is_held(running: Running) -> None:
    running.submit("r", LONG, streamed=True)
    check(running.run(), LONG)

    assert running.reader.read == len(LONG)
    assert running.synthesiser.most <= 2  # the next is prepared before the last reference to the one before is gone
    assert not running.synthesiser.alive


def test_requests_take_turns_by_the_sound_that_they_have(running: Running) -> None:
    for id in ("one", "other"):
        running.submit(id, f"{SENTENCE} {SENTENCE}", streamed=True)
    running.run()

    sent = {"one": 0, "other": 0}
    for id, event in running.events:
        if isinstance(event, SpeechPiece):
            assert sent[id] == min(sent.values())
            sent[id] += len(event.audio)


def test_turns_are_spoken_in_order_on_one_clock(running: Running) -> None:
    turns = [SpeechTurn("one two", [("a", 1.0)]), SpeechTurn("three", [("b", 1.0)])]
    running.submit("r", turns=turns)
    _, one, other, finished = running.run()

    assert (one.turn, other.turn) == (0, 1)
    assert one.phonemes[-1].end == other.phonemes[0].start
    assert one.phonemes[-1].phoneme == ""
    assert one.phonemes[-1].end - one.words[-1].end >= SAMPLE_RATE // 2
    assert finished.samples == other.phonemes[-1].end


def test_a_text_without_words_ends_without_a_piece(running: Running) -> None:
    running.submit("r", "...", streamed=True)
    assert [type(event) for event in running.run()] == [SpeechAccepted, SpeechFinished]


def test_a_wrong_mark_in_a_later_section_ends_the_request_only(running: Running) -> None:
    running.submit("wrong", LONG + "\n\n?", streamed=True)
    running.submit("right", SENTENCE, streamed=True)
    running.run()

    failed = [event for id, event in running.events if isinstance(event, Failed)]
    assert [failure.id for failure in failed] == ["wrong"]
    assert isinstance(next(event for id, event in reversed(running.events) if id == "right"), SpeechFinished)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("[malloc] Unable to allocate 99 bytes."), "out_of_memory"),
        (ZeroDivisionError(), "internal_error"),
        (Panic(), "internal_error"),
        (SystemExit(3), "internal_error"),
    ],
)
def test_a_step_that_fails_ends_only_the_request_whose_turn_it_was(
    running: Running, error: BaseException, code: str
) -> None:
    for id in ("first", "broken", "last"):
        running.submit(id, SENTENCE, streamed=True)
    for _ in range(4):
        running.step()
    running.synthesiser.fault = error
    chosen = min(running.engine._works.values(), key=lambda one: (one.samples, one.order)).job.id
    running.step()
    running.synthesiser.fault = None
    running.run()

    failures = [event for _, event in running.events if isinstance(event, Failed)]
    assert [(failure.id, failure.code) for failure in failures] == [(chosen, code)]
    for id in {"first", "broken", "last"} - {chosen}:
        check([event for key, event in running.events if key == id], SENTENCE)


def test_a_fault_outside_a_request_ends_the_newest(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    running.submit("first", SENTENCE, streamed=True)
    running.submit("newest", SENTENCE, streamed=True)
    running.step()
    out = Outbox(running._receive)
    running.engine.recover(out, ZeroDivisionError())
    out.flush()
    running.run()
    failures = [event for _, event in running.events if isinstance(event, Failed)]
    assert [failure.id for failure in failures] == ["newest"]
    check([event for id, event in running.events if id == "first"], SENTENCE)


def test_a_cancelled_request_is_not_spoken_on(running: Running) -> None:
    running.submit("r", LONG, streamed=True)
    running.step()
    running.step()
    running.engine.cancel("r")
    assert not running.engine.busy
