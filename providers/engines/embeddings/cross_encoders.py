"""Cross-encoders whose encoder mlx-embeddings has, but not the head: BERT's and XLM-RoBERTa's.

The most used rerankers (ms-marco-MiniLM, bge-reranker) are of these families. Both compute one probability: the sigmoid
of one logit. The module imports mlx-embeddings, which is under the GPL (ADR 4).
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.layers.linear import Linear
from mlx_embeddings.models import bert, xlm_roberta
from mlx_embeddings.models.base import BaseModelOutput

__all__ = ["ranker_class"]

Classes = tuple[type[Module], type[Any], None, None]
"""In the form of `mlx_embeddings.utils.load_model`: model, arguments, no text and no vision configuration."""


class BertRanker(Module):
    """`BertForSequenceClassification` with one label. Its layers have the same names: `bert`, `classifier`."""

    def __init__(self, config: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.config = config
        self.bert = bert.Model(config)
        self.classifier = Linear(config.hidden_size, 1)

    def __call__(self, input_ids: mx.array, token_type_ids: mx.array, attention_mask: mx.array) -> Any:
        output = self.bert(input_ids, token_type_ids=token_type_ids, attention_mask=attention_mask)
        return BaseModelOutput(pooler_output=mx.sigmoid(self.classifier(output.pooler_output)))

    def sanitize(self, weights: dict[str, mx.array]) -> dict[str, mx.array]:
        return _without_position_ids(weights)


class RobertaHead(Module):
    """RoBERTa's `classifier`: on the first token, with a dense layer before the logit."""

    def __init__(self, size: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dense = Linear(size, size)
        self.out_proj = Linear(size, 1)

    def __call__(self, states: mx.array) -> mx.array:
        logits: mx.array = self.out_proj(mx.tanh(self.dense(states[:, 0])))
        return logits


class RobertaRanker(Module):
    """`XLMRobertaForSequenceClassification` with one label. Its layers have the same names: `roberta`, `classifier`."""

    def __init__(self, config: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.config = config
        config.add_pooling_layer = False
        self.roberta = xlm_roberta.Model(config)
        self.classifier = RobertaHead(config.hidden_size)

    def __call__(self, input_ids: mx.array, attention_mask: mx.array) -> Any:
        output = self.roberta(input_ids, attention_mask=attention_mask)
        return BaseModelOutput(pooler_output=mx.sigmoid(self.classifier(output.last_hidden_state)))

    def sanitize(self, weights: dict[str, mx.array]) -> dict[str, mx.array]:
        return _without_position_ids(weights)


def _without_position_ids(weights: dict[str, mx.array]) -> dict[str, mx.array]:
    return {name: array for name, array in weights.items() if not name.endswith("position_ids")}


_CLASSES: dict[str, Classes] = {
    "bert": (BertRanker, bert.ModelArgs, None, None),
    "xlm_roberta": (RobertaRanker, xlm_roberta.ModelArgs, None, None),
}


def ranker_class(family: str) -> Classes | None:
    """The classes of this family's cross-encoder; None if mlx-embeddings has its own, or there is none."""
    return _CLASSES.get(family)
