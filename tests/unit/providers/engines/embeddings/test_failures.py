"""Batches that fail: the requests that they end, and those that go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from providers.embeddings.types import EmbeddingRequest, Ranked, RerankRequest
from providers.engine_host.frames import Generate
from tests.unit.providers.engines.embeddings.stepped import Floats, Stepped
from tests.unit.providers.engines.fake_engine import Panic


class Fragile:
    """The engine's encoder, which fails on every batch that `breaks` chooses by its rows."""

    def __init__(self, engine: Stepped, breaks: Callable[[Any], bool], error: BaseException) -> None:
        self.whole, self.breaks, self.error = engine.engine._encoder, breaks, error
        self.sizes: list[int] = []

    def encode(self, rows: Any, seconds: Any) -> Floats:
        self.sizes.append(len(rows))
        if self.breaks(rows):
            raise self.error
        return self.whole.encode(rows, seconds)


OUT_OF_MEMORY = RuntimeError("[malloc] Unable to allocate 99 bytes.")


@pytest.mark.parametrize(
    ("error", "code"),
    [(OUT_OF_MEMORY, "out_of_memory"), (ZeroDivisionError(), "internal_error"), (Panic(), "internal_error")],
)
def test_a_batch_that_fails_ends_only_the_requests_whose_rows_fail_in_their_own_batch(
    engine: Stepped, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: str
) -> None:
    (broken,) = engine.engine.prepare(Generate(EmbeddingRequest("x", ["cat dog bird"]))).rows
    whole = engine.embed(["red"] * 3)
    with monkeypatch.context() as patched:
        patched.setattr(engine.engine, "_encoder", Fragile(engine, lambda rows: broken in rows, error))
        for id in ("first", "second"):
            engine.submit(EmbeddingRequest(id, ["red"] * 3))
        engine.submit(EmbeddingRequest("broken", ["red", "cat dog bird", "red", "red"]))
        engine.submit(RerankRequest("ranked", "red", ["red", "red"]))
        engine.run()
    assert {id: failed.code for id, failed in engine.failed.items()} == {"broken": code}
    for id in ("first", "second"):
        assert np.abs(engine.vectors(id) - whole).max() < 1e-5
    assert isinstance(engine.events["ranked"][-1], Ranked)
    assert not engine.engine._work
    engine.failed.clear()
    engine.events.clear()


def test_a_batch_too_large_for_the_memory_is_computed_in_parts(
    engine: Stepped, monkeypatch: pytest.MonkeyPatch
) -> None:
    fragile = Fragile(engine, lambda rows: len(rows) > 2, OUT_OF_MEMORY)
    with monkeypatch.context() as patched:
        patched.setattr(engine.engine, "_encoder", fragile)
        assert engine.embed(["red"] * 8).shape == (8, 32)
    assert not engine.failed
    assert fragile.sizes == [8, 4, 2, 2, 4, 2, 2]


def test_an_encoder_that_always_fails_ends_every_request_and_leaves_nothing_to_do(
    engine: Stepped, monkeypatch: pytest.MonkeyPatch
) -> None:
    fragile = Fragile(engine, lambda rows: True, ZeroDivisionError())
    with monkeypatch.context() as patched:
        patched.setattr(engine.engine, "_encoder", fragile)
        for id in ("first", "second"):
            engine.submit(EmbeddingRequest(id, ["red"] * 100))
        engine.run()
    assert set(engine.failed) == {"first", "second"}
    assert len(fragile.sizes) < 20  # rows of a request that failed are not tried
    engine.failed.clear()


def test_a_request_cancelled_between_a_failure_and_the_next_try_is_not_computed(
    engine: Stepped, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(engine.engine, "_encoder", Fragile(engine, lambda rows: True, ZeroDivisionError()))
        engine.submit(EmbeddingRequest("gone", ["red"] * 4))
        engine.submit(EmbeddingRequest("stays", ["red"] * 4))
        engine.step()
    engine.engine.cancel("gone")
    engine.run()
    assert "gone" not in engine.events
    assert engine.vectors("stays").shape == (4, 32)
    assert not engine.failed
    engine.events.clear()


def test_a_step_that_fails_takes_only_its_own_requests(engine: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.submit(EmbeddingRequest("doomed", ["cat"]))
    with monkeypatch.context() as patched:
        patched.setattr(engine.engine, "_encoder", None)
        engine.step()
    assert engine.failed.pop("doomed").code == "internal_error"
    assert engine.embed(["cat"]).shape == (1, 32)


def test_vectors_that_are_not_finite_are_an_error(engine: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def encode(self, rows: Any, seconds: Any) -> Floats:
            return np.full((len(rows), 32), np.nan, np.float32)

    with monkeypatch.context() as patched:
        patched.setattr(engine.engine, "_encoder", Broken())
        engine.submit(EmbeddingRequest("nan", ["cat", "dog " * 30]))
        engine.run()
    assert engine.failed.pop("nan").code == "internal_error"
    assert "nan" not in engine.events
