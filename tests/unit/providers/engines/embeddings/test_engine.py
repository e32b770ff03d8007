"""The embedding engine on small random encoders: batches, pooling, cutting, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from providers.embeddings.types import Embedded, EmbeddingRequest
from providers.engines.embeddings.intake import placeholders
from providers.engines.process.engine import EngineLoadError
from providers.errors import ContextLengthExceeded, InvalidRequest, UnsupportedParameter
from tests.unit.providers.engines import tiny_encoders as tiny
from tests.unit.providers.engines.embeddings.stepped import TEXTS, Floats, Stepped


def test_a_batch_gives_each_text_its_own_unit_vector(engine: Stepped) -> None:
    batch = engine.embed(TEXTS)
    alone = np.concatenate([engine.embed([text]) for text in TEXTS])
    assert np.abs(batch - alone).max() < 1e-5
    assert np.linalg.norm(batch, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    # With random weights all vectors differ, so that an exchange would show.
    assert (np.abs(batch[:, None] - batch[None]).max(axis=2) + np.eye(len(TEXTS))).min() > 1e-3


def test_requests_that_wait_together_share_a_batch_and_keep_their_own(engine: Stepped) -> None:
    for id, text in enumerate(TEXTS[:2]):
        engine.submit(EmbeddingRequest(str(id), [text]))
    engine.step()
    assert not engine.engine.busy
    together = np.concatenate([engine.vectors("0"), engine.vectors("1")])
    engine.events.clear()
    assert np.abs(together - engine.embed(TEXTS[:2])).max() < 1e-5


def test_token_ids_are_what_their_text_is(engine: Stepped) -> None:
    ids = [2, tiny.VOCABULARY.index("cat"), 3]
    assert np.abs(engine.embed([ids]) - engine.embed(["cat"])).max() < 1e-6


def test_usage_counts_every_token(engine: Stepped) -> None:
    engine.submit(EmbeddingRequest("used", ["cat dog", [2, 3]]))
    engine.run()
    assert engine.events.pop("used")[-1].tokens == 6


def test_what_does_not_fit_is_refused_with_counts_or_loses_its_end(engine: Stepped) -> None:
    assert engine.info.context_length == tiny.CONTEXT
    for given in ("cat " * 50, [2] * 52):
        with pytest.raises(ContextLengthExceeded, match=r"40 tokens.* 52 tokens") as caught:
            engine.embed(["dog", given])
        assert caught.value.param == "input[1]"
    whole, cut = engine.embed(["cat " * 38, "cat " * 50], truncate="end")
    assert np.abs(whole - cut).max() < 1e-6
    assert np.abs(whole - engine.embed(["cat " * 50_000], truncate="end")[0]).max() < 1e-6


@pytest.mark.parametrize("dogs", [12, 50_000])
def test_a_text_may_lose_its_start(engine: Stepped, dogs: int) -> None:
    whole, cut = engine.embed(["cat " * 38, "dog " * dogs + "cat " * 38], truncate="start")
    assert np.abs(whole - cut).max() < 1e-6
    last, ids = engine.embed([[2] * 40, [3] * 12 + [2] * 40], truncate="start")
    assert np.abs(last - ids).max() < 1e-6


def test_an_empty_text_has_a_vector(engine: Stepped) -> None:
    together = engine.embed(["", "cat", "   "])
    assert np.isfinite(together).all()
    assert np.abs(together[0] - engine.embed([""])[0]).max() < 1e-6


def test_a_text_too_long_to_count_is_refused_immediately(engine: Stepped) -> None:
    with pytest.raises(ContextLengthExceeded, match="2000001 characters"):
        engine.embed(["c" * 2_000_001])


@pytest.mark.parametrize(("tokens", "param"), [([2, 20], "input[1]"), ([-1], "input[0]")])
def test_an_id_outside_the_vocabulary_is_refused(engine: Stepped, tokens: list[int], param: str) -> None:
    with pytest.raises(InvalidRequest, match="vocabulary of 20") as caught:
        engine.embed([tokens])
    assert caught.value.param == param


def test_ids_that_stand_for_no_text_are_found() -> None:
    vocabulary = {"[PAD]": 0, "[unused0]": 1, "[unused993]": 2, "<unused7>": 3, "<|reserved_special_token_9|>": 4}

    assert placeholders({**vocabulary, "unused": 5, "[unused]": 6, "the": 7}) == {1, 2, 3, 4}


def test_ids_of_another_tokenizer_are_refused(engine: Stepped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.engine._intake, "_placeholders", frozenset({9}))

    engine.embed([[8, 7]])
    with pytest.raises(InvalidRequest, match="check_embedding_ctx_length=False") as caught:
        engine.embed([[8], [8, 9]])
    assert caught.value.param == "input[1][1]"


def test_a_cancelled_request_is_not_computed_further(engine: Stepped) -> None:
    engine.submit(EmbeddingRequest("gone", ["cat " * 30] * 1000))
    engine.step()
    engine.engine.cancel("gone")
    assert not engine.engine.busy
    sent = sum(len(part.indexes) for part in engine.events.pop("gone"))
    assert 0 < sent < 1000


def test_a_short_request_does_not_wait_for_a_long_one(engine: Stepped) -> None:
    engine.submit(EmbeddingRequest("long", ["cat " * 30] * 20_000))
    engine.submit(EmbeddingRequest("short", ["dog"]))
    engine.step()
    engine.step()
    assert isinstance(engine.events["short"][-1], Embedded)
    engine.engine.cancel("long")
    engine.events.clear()


def test_vectors_are_cut_only_where_the_model_allows_it(engine: Stepped, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedParameter):
        engine.embed(["cat"], dimensions=8)
    assert engine.embed(["cat"], dimensions=32).shape == (1, 32)
    sizes = Stepped(tiny.bert_folder(tmp_path / "sizes", matryoshka_dimensions=[8, 16]))
    full = sizes.embed(["cat"])
    cut = sizes.embed(["cat"], dimensions=8)
    assert np.abs(cut - full[:, :8] / np.linalg.norm(full[:, :8])).max() < 1e-6
    with pytest.raises(InvalidRequest, match="8, 16"):
        sizes.embed(["cat"], dimensions=9)
    assert Stepped(tiny.bert_folder(tmp_path / "any", is_matryoshka=True)).embed(["cat"], dimensions=9).shape == (1, 9)


@pytest.mark.parametrize(
    ("mode", "pool"),
    [
        ("cls_token", lambda states: states[0]),
        ("mean_tokens", lambda states: states.mean(axis=0)),
        ("max_tokens", lambda states: states.max(axis=0)),
        ("mean_sqrt_len_tokens", lambda states: states.sum(axis=0) / math.sqrt(len(states))),
        ("weightedmean_tokens", lambda states: np.average(states, axis=0, weights=np.arange(1, len(states) + 1))),
        ("lasttoken", lambda states: states[-1]),
    ],
)
def test_the_folder_decides_the_pooling(tmp_path: Path, mode: str, pool: Callable[[Floats], Floats]) -> None:
    pooled = Stepped(tiny.bert_folder(tmp_path / "model", pooling={f"pooling_mode_{mode}": True}))
    texts = ["red fish slow", "cat"]
    found = pooled.embed(texts)
    for vector, text in zip(found, texts, strict=True):
        ids = mx.array([[2, *(tiny.VOCABULARY.index(word) for word in text.split()), 3]])
        states = np.array(pooled.engine._encoder.model(ids).last_hidden_state[0])
        expected = pool(states)
        assert np.abs(vector - expected / np.linalg.norm(expected)).max() < 1e-5


def test_several_poolings_are_joined(tmp_path: Path) -> None:
    modes = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}
    assert Stepped(tiny.bert_folder(tmp_path / "model", pooling=modes)).embed(["cat"]).shape == (1, 64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "llama"}, "'llama' give no embeddings"),
        ({"architectures": ["BertForSequenceClassification"]}, "2 labels"),
        ({"hidden_size": 36}, "cannot be loaded"),
    ],
)
def test_what_cannot_be_served_is_refused_at_load(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    import json

    folder = tiny.bert_folder(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(EngineLoadError, match=message):
        Stepped(folder)
