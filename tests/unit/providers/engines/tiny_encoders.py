"""Small encoders with random weights, as ordinary model folders: embedding models and cross-encoders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_embeddings.models import bert, modernbert, xlm_roberta
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from providers.engines.embeddings.cross_encoders import BertRanker, RobertaRanker

CONTEXT = 40
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = "cat dog fish bird tree river stone house fast slow red green blue one two three".split()  # noqa: SIM905
VOCABULARY = [*SPECIAL, *WORDS]

_COMMON = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "vocab_size": len(VOCABULARY),
    "pad_token_id": 0,
}


def _tokenizer() -> Tokenizer:
    model: Any = models.WordLevel({word: id for id, word in enumerate(VOCABULARY)}, unk_token="[UNK]")
    made = Tokenizer(model)
    made.normalizer = normalizers.Lowercase()  # type: ignore[assignment]
    made.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    made.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    # As in MiniLM's file: the engine must ignore them.
    made.enable_truncation(8)
    made.enable_padding(length=8)
    return made


def write_folder(folder: Path, model: Any, config: dict[str, Any], *, pooling: dict[str, bool] | None = None) -> Path:
    """The folder of a model with this configuration; `pooling` becomes sentence-transformers' file."""
    folder.mkdir(parents=True)
    mx.random.seed(3)
    model.apply(lambda array: mx.random.normal(array.shape) * 0.3 + (array if array.ndim == 1 else 0))
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(config))
    _tokenizer().save(str(folder / "tokenizer.json"))
    described = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(described))
    if pooling is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def bert_folder(folder: Path, *, pooling: dict[str, bool] | None = None, **changes: Any) -> Path:
    config = {**_COMMON, "model_type": "bert", "max_position_embeddings": CONTEXT, **changes}
    return write_folder(folder, bert.Model(bert.ModelArgs.from_dict(config)), config, pooling=pooling)


_ONE_LABEL = {"id2label": {"0": "LABEL_0"}}


def bert_ranker(folder: Path) -> Path:
    config = {
        **_COMMON,
        **_ONE_LABEL,
        "model_type": "bert",
        "max_position_embeddings": CONTEXT,
        "architectures": ["BertForSequenceClassification"],
    }
    return write_folder(folder, BertRanker(bert.ModelArgs.from_dict(config)), config)


def roberta_ranker(folder: Path) -> Path:
    config = {
        **_COMMON,
        **_ONE_LABEL,
        "model_type": "xlm-roberta",
        "max_position_embeddings": CONTEXT + 1,
        "architectures": ["XLMRobertaForSequenceClassification"],
    }
    return write_folder(folder, RobertaRanker(xlm_roberta.ModelArgs.from_dict(config)), config)


def modernbert_ranker(folder: Path) -> Path:
    config = {
        **_COMMON,
        **_ONE_LABEL,
        "model_type": "modernbert",
        "max_position_embeddings": CONTEXT,
        "architectures": ["ModernBertForSequenceClassification"],
    }
    return write_folder(folder, modernbert.Model(modernbert.ModelArgs.from_dict(config)), config)
