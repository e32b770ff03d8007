"""Whisper tiny.en in the real server: real recordings, all formats of files and answers, no file left behind."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Generator
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import jiwer
import numpy as np
import openai
import psutil
import pytest
import soundfile
import srt
import webvtt

from tests.live.client import PATIENCE, assert_error, eventually, queue_stats
from tests.live.harness import LiveServer, start
from tests.unit.providers.engines.recordings import RATE, encoded, noise, silence, sound, telephone, wav

SAMPLES = files("pytest_audioeval") / "samples" / "audio" / "en"
NAMES = ("quick_brown_fox", "counting", "hello_world")
WORD_ERROR_RATE = 0.12
DIGITS = {
    word: str(number)
    for number, word in enumerate(
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], start=1
    )
}
WORDS = jiwer.Compose(
    [
        jiwer.ToLowerCase(),
        jiwer.SubstituteRegexes({r"[^a-z0-9']+": " "}),
        jiwer.SubstituteWords(DIGITS),
        jiwer.SubstituteRegexes({r"(?<=\d)\s+(?=\d)": ""}),  # grouping of digits is not an error
        jiwer.Strip(),
        jiwer.ReduceToListOfListOfWords(),
    ]
)


def recording(name: str) -> np.ndarray[Any, Any]:
    samples, rate = soundfile.read(SAMPLES / f"{name}.wav")
    assert rate == RATE
    return samples


def word_error_rate(said: list[str], heard: list[str]) -> float:
    return jiwer.wer(said, heard, reference_transform=WORDS, hypothesis_transform=WORDS)


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def ears(uploads: Path) -> Generator[LiveServer]:
    """A server with only whisper and its own folder for uploads, which must be empty at the end."""
    options = ("--max-concurrency", "2", "--max-upload", "25MiB", "--max-audio-seconds", "11000")
    running = start("--model-type", "whisper", *options, env={"TMPDIR": str(uploads)})
    yield running
    assert running.stop() == 0, running.log.text
    assert "Traceback" not in running.log.text
    assert list(uploads.iterdir()) == []


@pytest.fixture(scope="module")
def sdk(ears: LiveServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=ears.base_url, api_key="none", max_retries=0, timeout=PATIENCE)


@pytest.fixture(scope="module")
def long_recording() -> bytes:
    """Three recordings with silence between and around them; longer than one window."""
    parts = [silence(2.0)]
    for name in NAMES:
        parts += [recording(name), silence(12.0)]
    return wav(np.concatenate(parts))


@pytest.fixture(scope="module")
def verbose(sdk: openai.OpenAI, long_recording: bytes) -> Any:
    return sdk.audio.transcriptions.create(
        file=("long.wav", long_recording),
        model="any",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )


def post(url: str, content: bytes, path: str = "transcriptions", **data: Any) -> httpx.Response:
    return httpx.post(
        f"{url}/v1/audio/{path}", files={"file": ("a", content)}, data={"model": "any", **data}, timeout=PATIENCE
    )


# ── recognition ────────────────────────────────────────────────────────────────────────────────────────────


def test_real_recordings_are_transcribed(sdk: openai.OpenAI) -> None:
    said = [(SAMPLES / f"{name}.txt").read_text() for name in NAMES]
    heard = [
        sdk.audio.transcriptions.create(file=(name, (SAMPLES / f"{name}.wav").read_bytes()), model="any").text
        for name in NAMES
    ]
    assert word_error_rate(said, heard) <= WORD_ERROR_RATE, heard


def test_a_long_recording_is_transcribed_to_its_end(verbose: Any) -> None:
    said = " ".join((SAMPLES / f"{name}.txt").read_text() for name in NAMES)
    assert word_error_rate([said], [verbose.text]) <= WORD_ERROR_RATE, verbose.text
    assert verbose.duration == pytest.approx(2.0 + 36.0 + sum(len(recording(name)) for name in NAMES) / RATE, abs=0.01)
    assert verbose.language == "english"


def test_times_of_words_match_the_speech(verbose: Any) -> None:
    begun = 2.0
    for name, first in zip(NAMES, ("quick", "1", "hello"), strict=True):
        word = next(word for word in verbose.words if first in word.word.lower() and word.start >= begun - 0.6)
        assert begun - 0.6 <= word.start <= begun + len(recording(name)) / RATE
        begun += len(recording(name)) / RATE + 12.0


def test_words_are_in_order_inside_their_segments(verbose: Any) -> None:
    assert len(verbose.segments) >= 3
    for before, after in itertools.pairwise(verbose.segments):
        assert before.start <= before.end <= after.start <= after.end
    for word in verbose.words:
        assert word.start <= word.end
        assert any(segment.start <= word.start and word.end <= segment.end for segment in verbose.segments), word
    for before, after in itertools.pairwise(verbose.words):
        assert before.end <= after.start
    assert verbose.segments[-1].end <= verbose.duration
    assert "".join(word.word for word in verbose.words) == verbose.text.replace(" ", "")


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda samples: sound(samples, "MP3"), id="mp3"),
        pytest.param(lambda samples: sound(samples, "FLAC"), id="flac"),
        pytest.param(lambda samples: encoded(samples, "ogg", "libopus"), id="ogg"),
        pytest.param(lambda samples: encoded(samples, "mp4", "aac"), id="m4a"),
        pytest.param(lambda samples: encoded(samples, "webm", "libopus"), id="webm"),
    ],
)
def test_every_format_gives_the_same_text(ears: LiveServer, make: Any) -> None:
    response = post(ears.url, make(recording("quick_brown_fox")), response_format="text")
    assert response.text == "The quick brown fox jumps over the lazy dog.\n"


# ── formats of answers ──────────────────────────────────────────────────────────────────────────────────────


def test_independent_parsers_read_the_subtitles(sdk: openai.OpenAI) -> None:
    file = ("fox.wav", wav(recording("quick_brown_fox")))
    subrip = sdk.audio.transcriptions.create(file=file, model="any", response_format="srt")
    (cue,) = srt.parse(str(subrip))
    assert cue.content == "The quick brown fox jumps over the lazy dog."
    assert 0 <= cue.start.total_seconds() < cue.end.total_seconds() <= 2.9

    captions = webvtt.from_string(str(sdk.audio.transcriptions.create(file=file, model="any", response_format="vtt")))
    assert [caption.text for caption in captions] == [cue.content]


def test_a_stream_gives_the_same_text_in_deltas(sdk: openai.OpenAI, long_recording: bytes, verbose: Any) -> None:
    events: list[Any] = list(
        sdk.audio.transcriptions.create(
            file=("long.wav", long_recording),
            model="any",
            stream=True,
            extra_body={"include": ["progress"]},
        )
    )
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert len(deltas) >= 3
    assert "".join(deltas) == events[-1].text
    assert word_error_rate([verbose.text], [events[-1].text]) <= WORD_ERROR_RATE
    positions = [event.position for event in events if event.type == "transcript.progress"]
    assert positions == sorted(positions)
    assert positions[-1] == pytest.approx(verbose.duration, abs=0.02)
    # The first text arrived before the end of the recording was reached.
    types = [event.type for event in events]
    assert types.index("transcript.text.delta") < len(types) - 1 - types[::-1].index("transcript.progress")


def test_tokens_of_log_probabilities_spell_the_text(sdk: openai.OpenAI) -> None:
    heard = sdk.audio.transcriptions.create(
        file=("fox.wav", wav(recording("quick_brown_fox"))), model="any", include=["logprobs"]
    )
    assert heard.logprobs
    spelt = b"".join(bytes(map(int, token.bytes or [])) for token in heard.logprobs).decode()
    assert spelt.strip() == heard.text
    assert all(token.logprob is not None and token.logprob <= 0 for token in heard.logprobs)


# ── silence ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("decibels", [None, -60, -40])
def test_silence_gives_an_empty_text(ears: LiveServer, decibels: int | None) -> None:
    samples = silence(8.0)
    if decibels is not None:
        samples += np.random.default_rng(0).normal(0, 10 ** (decibels / 20), len(samples))
    assert post(ears.url, wav(samples)).json()["text"] == ""


@pytest.mark.parametrize("prompt", ["", "Kubernetes, Grafana"])
@pytest.mark.parametrize("kind", ["brown", "pink", "hiss", "breath"])
def test_noise_gives_no_text_and_not_the_prompt(ears: LiveServer, kind: str, prompt: str) -> None:
    assert post(ears.url, wav(noise(kind)), prompt=prompt).json()["text"] == ""


@pytest.mark.parametrize("fields", [{}, {"vad_filter": "false"}], ids=["detected", "undetected"])
def test_silence_does_not_repeat_the_prompt(ears: LiveServer, fields: dict[str, str]) -> None:
    assert post(ears.url, wav(silence(5.0)), prompt="Kubernetes, Grafana", **fields).json()["text"] == ""


def test_words_of_the_prompt_are_written_where_they_are_said(ears: LiveServer) -> None:
    heard = post(ears.url, wav(recording("hello_world")), prompt="Hello world.").json()["text"]

    assert word_error_rate(["hello world"], [heard]) == 0


def test_silence_after_speech_adds_nothing(ears: LiveServer) -> None:
    samples = np.concatenate([recording("hello_world"), silence(25.0)])

    assert word_error_rate(["hello world"], [post(ears.url, wav(samples)).json()["text"]]) == 0


# ── quiet and poor recordings ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "changed", [lambda x: x * 0.01, lambda x: x * 0.003, telephone], ids=["quiet", "very quiet", "telephone"]
)
def test_no_words_of_a_poor_recording_are_lost(ears: LiveServer, changed: Callable[[Any], Any]) -> None:
    heard = post(ears.url, wav(changed(recording("quick_brown_fox")))).json()["text"]

    assert word_error_rate([(SAMPLES / "quick_brown_fox.txt").read_text()], [heard]) == 0


def test_a_short_word_between_silences_is_heard(ears: LiveServer) -> None:
    word = recording("hello_world")[RATE // 5 : RATE * 3 // 5]

    assert post(ears.url, wav(np.concatenate([silence(0.1), word, silence(0.1)]))).json()["text"]


def test_three_hours_of_silence_take_no_memory(ears: LiveServer) -> None:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", RATE, 1, format="FLAC", subtype="PCM_16") as output:
        for _ in range(180):
            output.write(silence(60.0))
    engine = psutil.Process(ears.engine().pid)
    before = engine.memory_info().rss

    response = post(ears.url, file.getvalue(), response_format="verbose_json").json()

    assert (response["text"], response["duration"]) == ("", 10_800.0)
    assert engine.memory_info().rss - before < 100_000_000  # all decoded samples would be 691 MB


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "status"),
    [
        pytest.param(b"", 400, id="nothing"),
        pytest.param(b"not audio " * 1000, 400, id="text"),
        pytest.param(wav(silence(0.0)), 400, id="no samples"),
        pytest.param(encoded(silence(2.0), "mp4", "aac")[:300], 400, id="cut off before its index"),
        pytest.param(wav(silence(1.0))[:22] + b"\0\0" + wav(silence(1.0))[24:], 400, id="no channels"),
        pytest.param(wav(silence(1.0), 192_000), 200, id="192 kHz"),
        pytest.param(wav(silence(9.0))[:9001], 200, id="cut off"),
    ],
)
def test_bad_files_are_refused_and_unusual_ones_are_read(ears: LiveServer, content: bytes, status: int) -> None:
    response = post(ears.url, content)
    if status == 400:
        assert_error(response, 400, "invalid_request_error", param="file")
    else:
        assert (response.status_code, response.json()["text"]) == (200, "")


def test_a_recording_over_the_limit_of_seconds_is_refused(ears: LiveServer) -> None:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 8_000, 1, format="FLAC", subtype="PCM_16") as output:
        for _ in range(184):
            output.write(np.zeros(60 * 8_000))

    message = assert_error(post(ears.url, file.getvalue()), 400, "invalid_request_error", param="file")
    assert "11,040 seconds or more; at most 11,000" in message
    assert "--max-audio-seconds" in message


def test_an_english_only_model_refuses_other_languages_and_translation(ears: LiveServer) -> None:
    file = wav(silence(1.0))
    german = post(ears.url, file, language="de")
    assert "only English" in assert_error(german, 400, "invalid_request_error", param="language")
    translation = post(ears.url, file, path="translations")
    assert "cannot translate" in assert_error(translation, 400, "unsupported_parameter", param="model")
    assert post(ears.url, file, language="english").status_code == 200


def test_an_upload_over_the_limit_is_a_413(ears: LiveServer) -> None:
    message = assert_error(post(ears.url, bytes(26_214_401)), 413, "request_too_large")
    assert "--max-upload" in message


# ── disconnects ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def endless() -> bytes:
    """A recording of ten windows, five minutes: no test waits for its end."""
    return wav(np.concatenate([recording("quick_brown_fox"), silence(28.0)] * 10))


def test_a_disconnect_from_a_stream_frees_its_place_and_leaves_no_file(
    ears: LiveServer, uploads: Path, endless: bytes
) -> None:
    cancelled = queue_stats(ears.url)["cancelled"]
    with httpx.stream(
        "POST",
        f"{ears.url}/v1/audio/transcriptions",
        files={"file": ("a", endless)},
        data={"model": "any", "stream": "true"},
        timeout=PATIENCE,
    ) as response:
        lines = filter(None, response.iter_lines())
        line = next(lines)  # `lines` stays: a generator that ends closes the connection
        assert json.loads(line.removeprefix("data: "))["type"] == "transcript.text.delta"
        assert len(kept(uploads)) == 1

    _assert_let_go(ears, uploads, cancelled + 1)


def test_a_disconnect_before_a_whole_answer_frees_its_place_and_leaves_no_file(
    ears: LiveServer, uploads: Path, endless: bytes
) -> None:
    cancelled = queue_stats(ears.url)["cancelled"]
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{ears.url}/v1/audio/transcriptions",
            files={"file": ("a", endless)},
            data={"model": "any"},
            timeout=httpx.Timeout(PATIENCE, read=1.0),
        )

    _assert_let_go(ears, uploads, cancelled + 1)


def kept(uploads: Path) -> list[Path]:
    """The recordings that the server has on the disk."""
    return [file for file in uploads.rglob("*") if file.is_file() and file.stat().st_size > 1_000_000]


def _assert_let_go(ears: LiveServer, uploads: Path, cancelled: int) -> None:
    eventually(lambda: queue_stats(ears.url)["active"] == 0)
    assert queue_stats(ears.url)["cancelled"] == cancelled
    eventually(lambda: kept(uploads) == [])
    # The engine is free too: it does not go on with work that no client waits for.
    assert post(ears.url, wav(silence(1.0))).json()["text"] == ""


def test_an_answer_over_its_timeout_is_a_504(ears: LiveServer) -> None:
    response = post(ears.url, wav(recording("quick_brown_fox")), timeout="0.05")
    assert_error(response, 504, "timeout", type="server_error")


def test_the_embedded_default_loads_whisper_on_first_use(server: LiveServer) -> None:
    response = post(server.url, wav(recording("quick_brown_fox")), response_format="text")
    assert response.text == "The quick brown fox jumps over the lazy dog.\n"
    models = {model["id"]: model for model in httpx.get(f"{server.base_url}/models", timeout=PATIENCE).json()["data"]}
    assert models["whisper-tiny.en"]["capabilities"] == ["transcription"]
    assert models["whisper-tiny.en"]["status"] == "ready"
