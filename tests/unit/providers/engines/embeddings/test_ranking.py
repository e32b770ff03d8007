"""Documents ranked by cosine and by cross-encoders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import pytest

from providers.errors import ContextLengthExceeded, InvalidRequest
from tests.unit.providers.engines import tiny_encoders as tiny
from tests.unit.providers.engines.embeddings.stepped import TEXTS, Stepped


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
