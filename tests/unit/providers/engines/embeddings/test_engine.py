"""The embedding engine on small random encoders: batches, pooling, cutting, ranking, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from providers.embeddings.types import Embedded, EmbeddingRequest, Ranked, RerankRequest, Vectors
from providers.engine_host.frames import Events, Failed, Generate, Locate, Located, Report
from providers.engines.cpu.gelu import RationalGELU, use_rational_gelu
from providers.engines.embeddings.engine import EmbeddingEngine
from providers.engines.embeddings.intake import placeholders
from providers.engines.process.engine import EngineLoadError, Outbox
from providers.engines.process.platform import Platform
from providers.errors import ContextLengthExceeded, InvalidRequest, UnsupportedParameter
from providers.spec import ModelSpec
from tests.unit.providers.engines import tiny_encoders as tiny
from tests.unit.providers.engines.fake_engine import Panic

TEXTS = ["cat", "red fish slow", "dog " * 30, "one two three tree house river stone", "bird bird", "blue"]
Floats = np.ndarray[Any, np.dtype[np.float32]]


class Stepped:
    """An engine without its process, stepped by the test."""

    def __init__(self, folder: Path, **spec: Any) -> None:
        self.engine = EmbeddingEngine(Platform(device="cpu", blas="-", threads=1))
        self.info = self.engine.load(
            ModelSpec(name="tiny", path=str(folder), model_type="embeddings", **spec), lambda stage, fraction: None
        )
        self.events: dict[str, list[Any]] = {}
        self.failed: dict[str, Failed] = {}
        self.out = Outbox(self._file)

    def _file(self, report: Report) -> None:
        if isinstance(report, Failed):
            self.failed[report.id] = report
        elif isinstance(report, Events):
            for id, event in report.items:
                self.events.setdefault(id, []).append(event)

    def submit(self, request: EmbeddingRequest | RerankRequest) -> None:
        self.engine.submit(self.engine.prepare(Generate(request)))

    def step(self) -> None:
        try:
            self.engine.step(self.out)
        except BaseException as error:
            self.engine.recover(self.out, error)
        self.out.flush()

    def run(self) -> None:
        while self.engine.busy:
            self.step()

    def vectors(self, id: str) -> Floats:
        *parts, end = self.events[id]
        assert isinstance(end, Embedded)
        made = np.full((sum(len(part.indexes) for part in parts), end.dimensions), np.nan, np.float32)
        for part in parts:
            assert isinstance(part, Vectors)
            made[part.indexes] = np.frombuffer(part.data, "<f4").reshape(len(part.indexes), -1)
        return made

    def embed(self, inputs: list[Any], **request: Any) -> Floats:
        self.submit(EmbeddingRequest("one", inputs, **request))
        self.run()
        made = self.vectors("one")
        self.events.clear()
        return made

    def rank(self, query: str, documents: list[str], **request: Any) -> tuple[Floats, Ranked]:
        self.submit(RerankRequest("rank", query, documents, **request))
        self.run()
        (end,) = self.events.pop("rank")
        return np.frombuffer(end.scores, "<f4"), end


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bert_folder(tmp_path_factory.mktemp("bert") / "model")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Stepped:
    return Stepped(folder)


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


def test_without_a_cross_encoder_documents_are_ranked_by_cosine(engine: Stepped) -> None:
    scores, end = engine.rank("cat dog", TEXTS)
    query, *documents = engine.embed(["cat dog", *TEXTS])
    assert not end.cross_encoder
    assert scores == pytest.approx([query @ document for document in documents], abs=1e-5)
    with pytest.raises(ContextLengthExceeded) as caught:
        engine.rank("cat", ["dog", "cat " * 50])
    assert caught.value.param == "documents[1]"


@pytest.mark.parametrize("make", [tiny.bert_ranker, tiny.roberta_ranker, tiny.modernbert_ranker])
def test_a_cross_encoder_scores_a_pair_the_same_in_a_batch_and_outside(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    ranker = Stepped(make(tmp_path / "model"))
    documents = [text for text in TEXTS if len(text.split()) < 20]
    scores, end = ranker.rank("cat dog", documents)
    alone = [ranker.rank("cat dog", [document])[0][0] for document in documents]
    assert end.cross_encoder
    assert scores == pytest.approx(alone, abs=1e-5)
    assert 0 <= scores.min() < scores.max() <= 1
    assert ranker.rank("fish", documents)[0] != pytest.approx(scores, abs=1e-4)
    assert ranker.info.context_length == tiny.CONTEXT
    with pytest.raises(InvalidRequest, match="gives no embeddings"):
        ranker.embed(["cat"])


def test_the_second_text_of_a_pair_has_its_own_type(tmp_path: Path) -> None:
    ranker = Stepped(tiny.bert_ranker(tmp_path / "model"))
    cat, dog = (tiny.VOCABULARY.index(word) for word in ("cat", "dog"))
    ids, types = mx.array([[2, cat, 3, dog, 3]]), mx.array([[0, 0, 0, 1, 1]])
    expected = ranker.engine._encoder.model(ids, types, mx.ones(ids.shape)).pooler_output
    assert ranker.rank("cat", ["dog"])[0][0] == pytest.approx(expected.item(), abs=1e-6)


def test_a_cross_encoder_cuts_documents_and_never_the_query(tmp_path: Path) -> None:
    ranker = Stepped(tiny.bert_ranker(tmp_path / "model"))
    whole = ranker.rank("cat", ["dog " * 36])[0]
    assert ranker.rank("cat", ["dog " * 60], truncate="end")[0] == pytest.approx(whole, abs=1e-6)
    with pytest.raises(ContextLengthExceeded) as caught:
        ranker.rank("cat", ["dog " * 60])
    assert caught.value.param == "documents[0]"
    with pytest.raises(ContextLengthExceeded) as caught:
        ranker.rank("cat " * 60, ["dog"], truncate="end")
    assert caught.value.param == "query"


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


def test_the_rational_gelu_is_the_exact_one_to_a_millionth() -> None:
    x = mx.concatenate([mx.linspace(-12, 12, 200_001), mx.array([-1e4, 1e4, 0.0])])
    error = mx.abs(RationalGELU()(x) - nn.gelu(x)) / mx.maximum(mx.abs(x), 1)  # type: ignore[no-untyped-call]
    assert error.max().item() < 5e-7


def test_only_exact_gelus_are_replaced() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.GELU(), nn.GELU(approx="tanh"))
    assert use_rational_gelu(nn.Sequential(nn.Linear(2, 2))) == 0
    assert use_rational_gelu(model) == 0 or type(model.layers[2]) is nn.GELU


def test_the_tokens_of_a_text_are_located(tmp_path: Path) -> None:
    engine = Stepped(tiny.bert_folder(tmp_path / "bert")).engine
    text = "  red fish\n\nslow " + "dog " * 100
    located = engine.answer(Locate("q", text))
    assert isinstance(located, Located)
    assert located.starts[:4] == [2, 6, 12, 17]
    assert len(located.starts) == 103  # longer than the context, and without special tokens
    assert located.room == tiny.CONTEXT - 2
    assert engine.answer(Locate("q", "")) == Located("q", [], tiny.CONTEXT - 2)


def test_a_tokenizer_without_places_gives_those_of_words(tmp_path: Path) -> None:
    engine = Stepped(tiny.bert_folder(tmp_path / "bert")).engine

    class Slow:
        is_fast = False

        def num_special_tokens_to_add(self) -> int:
            return 2

        def __call__(self, texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
            return {"input_ids": [[1] * len(text) for text in texts]}

    engine._intake._tokenizer = Slow()
    assert engine.answer(Locate("q", " ab c")) == Located("q", [1, 1, 4], tiny.CONTEXT - 2)


def test_a_text_that_would_take_long_to_count_is_not_located(tmp_path: Path) -> None:
    engine = Stepped(tiny.bert_folder(tmp_path / "bert")).engine
    with pytest.raises(InvalidRequest, match="2000001 characters"):
        engine.answer(Locate("q", "a" * 2_000_001))
