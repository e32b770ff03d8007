"""The transcription engine on a tiny random model: turns, cancellation, languages, refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from providers.engine_host.frames import Events, Failed, Generate, Report
from providers.engines.cpu.whisper import use_fast_softmax
from providers.engines.process.engine import EngineLoadError, Outbox
from providers.engines.process.platform import Platform
from providers.engines.transcription import session as transcript
from providers.engines.transcription.audio_reader import AudioReader
from providers.engines.transcription.engine import WhisperEngine
from providers.errors import InvalidRequest, UnsupportedParameter
from providers.spec import ModelSpec
from providers.transcription.types import (
    Segment,
    TranscriptionAccepted,
    TranscriptionEvent,
    TranscriptionFinished,
    TranscriptionProgress,
    TranscriptionRequest,
)
from tests.unit.providers.engines import tiny_whisper
from tests.unit.providers.engines.fake_engine import Panic
from tests.unit.providers.engines.recordings import silence, tone, wav


class Stepped:
    """The engine without its process: stepped by the test, on the test's own thread."""

    def __init__(self, folder: Path, **spec: Any) -> None:
        self.engine = WhisperEngine(Platform(device="cpu", blas="-", threads=1))
        given = {"model_type": "whisper", "warmup": False, **spec}
        self.info = self.engine.load(ModelSpec(name="tiny", path=str(folder), **given), lambda stage, fraction: None)
        self.events: list[tuple[str, TranscriptionEvent]] = []
        self.failures: list[Failed] = []
        self.out = Outbox(self._file)

    def _file(self, report: Report) -> None:
        if isinstance(report, Events):
            self.events += report.items  # type: ignore[arg-type]
        elif isinstance(report, Failed):
            self.failures.append(report)

    def submit(self, id: str, path: Path, **request: Any) -> None:
        self.engine.submit(self.engine.prepare(Generate(TranscriptionRequest(id=id, path=str(path), **request))))

    def step(self) -> None:
        self.engine.step(self.out)
        self.out.flush()

    def run(self) -> None:
        while self.engine.busy:
            self.step()

    def of(self, id: str) -> list[TranscriptionEvent]:
        return [event for key, event in self.events if key == id]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    made: dict[int, Path] = {}

    def folder(vocabulary: int) -> Path:
        if vocabulary not in made:
            made[vocabulary] = tiny_whisper.write_folder(tmp_path_factory.mktemp("whisper"), vocabulary)
        return made[vocabulary]

    return folder


@pytest.fixture
def many(folders: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch) -> Stepped:
    """A multilingual model, whose output is short and never considered poor."""
    monkeypatch.setattr(transcript, "LADDER", (0.0,))
    stepped = Stepped(folders(tiny_whisper.VOCABULARY))
    stepped.engine._model.dims.n_text_ctx = 32  # answers are half as long at most
    return stepped


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    path = tmp_path / "spoken.wav"
    path.write_bytes(wav(np.concatenate([silence(1.0), tone(4.0), silence(35.0), tone(3.0)])))
    return path


@pytest.fixture
def silent(tmp_path: Path) -> Path:
    path = tmp_path / "silent.wav"
    path.write_bytes(wav(silence(70.0)))
    return path


def test_an_answer_is_accepted_streamed_and_finished(many: Stepped, spoken: Path) -> None:
    many.submit("a", spoken, language="fr")
    many.run()

    events = many.of("a")
    assert events[0] == TranscriptionAccepted(43.0)
    end = events[-1]
    assert isinstance(end, TranscriptionFinished)
    assert (end.duration, end.language) == (43.0, "french")
    assert end.windows >= 2
    assert end.encode_seconds > 0
    assert end.decode_seconds > 0
    positions = [event.position for event in events if isinstance(event, TranscriptionProgress)]
    assert positions == sorted(positions)
    assert positions[-1] == pytest.approx(43.0, abs=0.01)
    assert many.failures == []


def test_segments_are_in_order_and_inside_the_recording(many: Stepped, spoken: Path) -> None:
    many.submit("a", spoken, language="en", words=True)
    many.run()
    last = 0.0
    for segment in (event for event in many.of("a") if isinstance(event, Segment)):
        assert last <= segment.start <= segment.end <= 43.0
        for word in segment.words or []:
            assert segment.start <= word.start <= word.end <= segment.end
        last = segment.end


def test_silence_is_passed_over_without_the_model(many: Stepped, silent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many.engine._model, "encoder", None)
    many.submit("a", silent)
    many.run()
    *_, end = many.of("a")
    assert isinstance(end, TranscriptionFinished)
    assert (end.windows, end.language, end.duration) == (0, None, 70.0)
    assert not any(isinstance(event, Segment) for event in many.of("a"))


def test_a_language_that_is_not_named_is_detected(many: Stepped, spoken: Path) -> None:
    many.submit("a", spoken)
    many.run()
    *_, end = many.of("a")
    assert isinstance(end, TranscriptionFinished)
    assert end.language is not None


def test_requests_take_turns(many: Stepped, spoken: Path) -> None:
    many.submit("a", spoken, language="en")
    many.submit("b", spoken, language="en")
    for _ in range(4):
        many.step()
    told = [id for id, event in many.events if isinstance(event, TranscriptionProgress)]
    assert told == ["a", "b", "a", "b"]


def test_a_cancelled_request_gets_no_more_events_and_closes_its_file(many: Stepped, spoken: Path) -> None:
    many.submit("a", spoken, language="en")
    many.submit("b", spoken, language="en")
    many.step()
    told = len(many.of("a"))
    (reader,) = [one._recording.reader for one in many.engine._transcripts if one.id == "a"]

    many.engine.cancel("a")
    many.engine.cancel("nobody")
    many.run()

    assert len(many.of("a")) == told
    assert isinstance(many.of("b")[-1], TranscriptionFinished)
    with pytest.raises(Exception, match="not open"):
        reader._container.seek(0)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("[malloc] Unable to allocate 99 bytes."), "out_of_memory"),
        (ZeroDivisionError(), "internal_error"),
        (Panic(), "internal_error"),
        (SystemExit(3), "internal_error"),
    ],
)
def test_a_failure_of_one_request_is_its_own(many: Stepped, spoken: Path, error: BaseException, code: str) -> None:
    def explode(*_: Any, **__: Any) -> Any:
        raise error

    many.submit("a", spoken, language="en")
    many.submit("b", spoken, language="en")
    many.step()
    many.step()
    many.engine._transcripts[0]._decode = explode  # type: ignore[method-assign]
    many.run()
    assert [(failed.id, failed.code) for failed in many.failures] == [("a", code)]
    assert isinstance(many.of("b")[-1], TranscriptionFinished)


def test_a_fault_outside_a_request_ends_the_one_whose_turn_it_was(many: Stepped, spoken: Path) -> None:
    many.submit("a", spoken, language="en")
    many.submit("b", spoken, language="en")
    many.step()
    many.engine.recover(many.out, ZeroDivisionError())
    many.run()
    assert [failed.id for failed in many.failures] == ["a"]
    assert isinstance(many.of("b")[-1], TranscriptionFinished)


def test_poor_readings_are_tried_again_at_the_next_temperature(
    many: Stepped, spoken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "LADDER", (0.0, 0.4, 0.8))
    monkeypatch.setattr(transcript, "_is_poor", lambda result: result.temperature < 0.8)
    monkeypatch.setattr(transcript, "_is_silent", lambda result: False)
    many.submit("a", spoken, language="en")
    many.submit("b", spoken, language="en", temperature=0.2)
    many.run()
    assert {event.temperature for event in many.of("a") if isinstance(event, Segment)} <= {0.8}
    assert {event.temperature for event in many.of("b") if isinstance(event, Segment)} <= {0.2}


@pytest.mark.parametrize(
    ("text", "context", "repeats"),
    [
        ("Kubernetes, Grafana, Grafana", "Kubernetes, Grafana", True),
        (" grafana.", "Kubernetes, Grafana", True),
        ("Open Grafana", "Kubernetes, Grafana", False),
        ("", "Kubernetes", False),
        ("...", "Kubernetes", False),
        ("Yes", "", False),
    ],
)
def test_a_text_of_nothing_but_its_context_is_recognised(text: str, context: str, repeats: bool) -> None:
    assert transcript._repeats(text, context) is repeats


@pytest.mark.parametrize("speech", [True, False])
def test_a_text_that_repeats_the_prompt_counts_only_where_speech_is_heard_without_it(
    many: Stepped, spoken: Path, monkeypatch: pytest.MonkeyPatch, speech: bool
) -> None:
    contexts: list[list[int]] = []
    decode = transcript.decode

    def hearing(model: Any, features: Any, options: Any, *, logprobs: bool) -> Any:
        contexts.append(list(options.prompt))
        result, each = decode(model, features, options, logprobs=logprobs)
        text, no_speech = ("Grafana", 0.1) if options.prompt or speech else ("Thank you", 0.9)
        return replace(result, text=text, no_speech_prob=no_speech, avg_logprob=-0.1, compression_ratio=1.0), each

    monkeypatch.setattr(transcript, "decode", hearing)
    many.submit("a", spoken, language="en", prompt="Kubernetes, Grafana")
    many.run()

    assert contexts[0]
    assert contexts[1] == []
    assert any(isinstance(event, Segment) for event in many.of("a")) is speech


def test_a_text_that_loops_is_replaced_by_one_without_the_prompt(
    many: Stepped, spoken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = transcript.decode

    def looping(model: Any, features: Any, options: Any, *, logprobs: bool) -> Any:
        result, each = decode(model, features, options, logprobs=logprobs)
        ratio, temperature = (9.0, 0.5) if options.prompt else (1.0, 0.0)
        return replace(
            result, text="x", no_speech_prob=0.1, avg_logprob=-0.1, compression_ratio=ratio, temperature=temperature
        ), each

    monkeypatch.setattr(transcript, "decode", looping)
    many.submit("a", spoken, language="en", prompt="Kubernetes, Grafana")
    many.run()

    segments = [event for event in many.of("a") if isinstance(event, Segment)]
    assert segments
    assert {segment.temperature for segment in segments} == {0.0}


def test_every_token_has_its_log_probability(many: Stepped, spoken: Path) -> None:
    many.submit("a", spoken, language="en", logprobs=True)
    job = many.engine._transcripts[0]
    window = job._next_window()
    while window is None:
        window = job._next_window()
    result, logprobs = job._decode(window, 0.0, context=[])
    assert logprobs is not None
    assert len(logprobs) == len(result.tokens)
    assert all(logprob <= 0 for logprob in logprobs)
    # The average is over the end marker too.
    assert result.avg_logprob * (len(logprobs) + 1) <= sum(logprobs) + 1e-3


@pytest.mark.parametrize(
    ("language", "code"), [("de", "de"), ("German", "de"), (" EN ", "en"), ("castilian", "es"), (None, None)]
)
def test_languages_are_named_by_code_or_in_english(many: Stepped, language: str | None, code: str | None) -> None:
    assert many.engine._checked_language(language) == code


def test_a_language_that_there_is_not_is_refused(many: Stepped, spoken: Path) -> None:
    with pytest.raises(InvalidRequest, match="not a language") as refused:
        many.submit("a", spoken, language="klingon")
    assert refused.value.param == "language"


def test_a_recording_over_the_limit_is_refused(many: Stepped, silent: Path) -> None:
    with pytest.raises(InvalidRequest, match="70 seconds or more; at most 69") as refused:
        many.submit("a", silent, max_seconds=69.0)
    assert refused.value.param == "file"


def test_a_recording_of_unknown_duration_is_refused_while_it_is_read(
    many: Stepped, silent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AudioReader, "duration", None)
    many.submit("fits", silent, max_seconds=70.0)
    many.submit("long", silent, max_seconds=69.0)
    many.run()

    assert isinstance(many.of("fits")[-1], TranscriptionFinished)
    assert [(failed.id, failed.code, failed.param) for failed in many.failures] == [
        ("long", "invalid_request_error", "file")
    ]


def test_a_model_of_all_languages_translates(many: Stepped, spoken: Path) -> None:
    many.submit("a", spoken, language="de", task="translate")
    many.run()
    assert isinstance(many.of("a")[-1], TranscriptionFinished)
    with pytest.raises(UnsupportedParameter, match="timestamp_granularities"):
        many.submit("b", spoken, task="translate", words=True)


def test_an_english_only_model_refuses_other_languages(folders: Callable[[int], Path], spoken: Path) -> None:
    english = Stepped(folders(tiny_whisper.VOCABULARY - 1))
    with pytest.raises(InvalidRequest, match="only English") as refused:
        english.submit("a", spoken, language="de")
    assert refused.value.param == "language"
    with pytest.raises(UnsupportedParameter, match="cannot translate"):
        english.submit("a", spoken, task="translate")


def test_a_prompt_of_any_length_and_with_markers_is_text(many: Stepped) -> None:
    tokens = many.engine._prompt("<|endoftext|>" + "word " * 100_000 + "last")
    assert len(tokens) == 223
    assert transcript.get_tokenizer(True).decode(tokens).endswith("word last")
    assert many.engine._prompt("  ") == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [({"quantize": 4}, "quantize"), ({"dtype": "bfloat16"}, "bfloat16")],
)
def test_settings_it_cannot_honour_are_refused(
    folders: Callable[[int], Path], spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(EngineLoadError, match=message):
        Stepped(folders(tiny_whisper.VOCABULARY), **spec)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EngineLoadError, match="not a Whisper folder"):
        Stepped(tmp_path)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    folder = tiny_whisper.write_folder(tmp_path)
    weights = dict(tree_flatten(tiny_whisper.random_whisper().parameters()))
    del weights["encoder.conv1.bias"]
    mx.save_safetensors(str(folder / "weights.safetensors"), weights)
    with pytest.raises(EngineLoadError, match=r"encoder\.conv1\.bias"):
        Stepped(folder)


def test_half_precision_stays_half(folders: Callable[[int], Path], spoken: Path) -> None:
    half = Stepped(folders(tiny_whisper.VOCABULARY), dtype="float16")
    assert half.info.dtype == "float16"
    half.engine._model.dims.n_text_ctx = 16
    half.submit("a", spoken, language="en", temperature=0.5)
    half.run()
    assert isinstance(half.of("a")[-1], TranscriptionFinished)
    assert half.failures == []


def test_the_fast_softmax_gives_the_same_features() -> None:
    plain, fast = tiny_whisper.random_whisper(), tiny_whisper.random_whisper()
    use_fast_softmax(fast)
    mel = mx.random.normal((1, 3000, tiny_whisper.MELS))

    expected, features = plain.encoder(mel), fast.encoder(mel)

    assert mx.abs(expected - features).max().item() < 1e-5
