"""What every engine inherits: loading and its report, the refusal of other requests, and the errors of clients."""

from __future__ import annotations

import logging
from typing import Any

import attrs
import mlx.core as mx
import pytest

from providers.embeddings.types import EmbeddingRequest
from providers.engine_host.frames import Cancel, Generate, Tokenize
from providers.engines.process import base
from providers.engines.process.base import BaseEngine, Loaded, as_service_error, is_late, timed_out
from providers.engines.process.engine import Engine, EngineLoadError, Outbox, Progress
from providers.engines.process.platform import Platform
from providers.errors import InternalError, InvalidRequest
from providers.spec import ModelSpec
from providers.speech.types import SpeechRequest

SPEECH = SpeechRequest(id="a", text="hello", voices=[("af_heart", 1.0)])


@attrs.frozen
class Job:
    id: str
    deadline: float | None = None


class Whistle(BaseEngine[Job]):
    """The smallest engine."""

    REQUESTS = (SpeechRequest,)
    NOUN = "a whistle"
    DOES = "whistles"

    def __init__(self, prepared: Platform) -> None:
        super().__init__(prepared)
        self.warm = False
        self.jobs: list[Job] = []

    def _load(self, spec: ModelSpec, device: str, progress: Progress) -> Loaded:
        progress("loading weights", 0.5)
        return Loaded(model_type="whistle", dtype="float32", context_length=7, details={"tune": "high"})

    def _warm_up(self) -> None:
        self.warm = True

    def _job(self, request: SpeechRequest) -> Job:
        return Job(request.id)

    @property
    def busy(self) -> bool:
        return bool(self.jobs)

    def submit(self, job: Job) -> None:
        self.jobs.append(job)

    def cancel(self, request_id: str) -> None: ...

    def step(self, out: Outbox) -> None: ...

    def recover(self, out: Outbox, error: BaseException) -> None: ...


@pytest.fixture
def whistle() -> Whistle:
    return Whistle(Platform(device="cpu", blas="a BLAS", threads=3))


def spec(**changes: Any) -> ModelSpec:
    return ModelSpec(name="w", path="", **changes)


def test_loading_reports_what_was_loaded_and_warms_up(whistle: Whistle) -> None:
    stages: list[tuple[str, float | None]] = []
    info = whistle.load(spec(), lambda stage, fraction: stages.append((stage, fraction)))
    assert stages == [("loading weights", 0.5), ("warming up", None)]
    assert whistle.warm
    assert (info.context_length, info.dtype) == (7, "float32")
    assert info.details == {"blas_threads": 3, "model_type": "whistle", "tune": "high"}
    assert info.blas == ("a BLAS" if mx.default_device() == mx.cpu else "-")


def test_the_warm_up_can_be_turned_off(whistle: Whistle) -> None:
    whistle.load(spec(warmup=False), lambda stage, fraction: None)
    assert not whistle.warm


def test_a_request_of_its_kind_becomes_a_job(whistle: Whistle) -> None:
    engine: Engine = whistle
    engine.submit(engine.prepare(Generate(SPEECH)))
    assert whistle.jobs == [Job("a")]


@pytest.mark.parametrize("command", [Generate(EmbeddingRequest(id="a", inputs=["hello"])), Cancel("a")])
def test_other_requests_are_refused_in_its_words(whistle: Whistle, command: Any) -> None:
    with pytest.raises(InvalidRequest, match="a whistle whistles, nothing else"):
        whistle.prepare(command)


def test_questions_about_tokens_are_refused_by_engines_that_have_none(whistle: Whistle) -> None:
    with pytest.raises(InvalidRequest, match="a whistle answers no questions about tokens"):
        whistle.answer(Tokenize(id="q", prompt=None))  # type: ignore[arg-type]


def test_clients_learn_nothing_of_errors_that_are_not_for_them(caplog: pytest.LogCaptureFixture) -> None:
    known = InvalidRequest("no")
    assert as_service_error(known, "a") is known
    assert not caplog.records
    with caplog.at_level(logging.ERROR):
        hidden = as_service_error(ZeroDivisionError("secret"), "a")
    assert isinstance(hidden, InternalError)
    assert "secret" not in hidden.message
    assert "secret" in caplog.text


def test_a_request_is_late_from_its_deadline_on() -> None:
    assert not is_late(Job("a"), 5.0)
    assert not is_late(Job("a", 5.1), 5.0)
    assert is_late(Job("a", 5.0), 5.0)
    assert timed_out().param == "timeout"


def load_wired(whistle: Whistle, limit: int) -> None:
    whistle.load(ModelSpec(name="w", path="", wired_limit=limit), lambda stage, fraction: None)


def test_the_wired_limit_is_set_on_metal(whistle: Whistle, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[int] = []
    monkeypatch.setattr(base, "mlx_device", lambda: "metal")
    monkeypatch.setattr(mx, "set_wired_limit", limits.append)
    load_wired(whistle, 0)
    assert limits == [0]


def test_a_wired_limit_that_metal_refuses_names_the_option(whistle: Whistle, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(limit: int) -> None:
        raise ValueError("larger than the system's")

    monkeypatch.setattr(base, "mlx_device", lambda: "metal")
    monkeypatch.setattr(mx, "set_wired_limit", refuse)
    with pytest.raises(EngineLoadError, match="--wired-limit: larger than"):
        load_wired(whistle, 1 << 60)


def test_a_wired_limit_elsewhere_is_noted(
    whistle: Whistle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(base, "mlx_device", lambda: "cpu")
    load_wired(whistle, 1 << 30)
    assert "no effect" in caplog.text
