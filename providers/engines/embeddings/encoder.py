"""A loaded embedding model or cross-encoder: from token ids to vectors or scores. Only for the MLX thread.

The module imports mlx-embeddings, which is under the GPL: only the process of an embedding model may import it (ADR 4).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from mlx_embeddings.utils import load_model
from transformers import AutoTokenizer

from providers.engines.cpu.gelu import use_rational_gelu
from providers.engines.embeddings.cross_encoders import ranker_class
from providers.engines.embeddings.pooling import Pool, read_json, read_pooling, unit
from providers.engines.process.engine import EngineLoadError, Progress
from providers.engines.process.weights import check_folder, convert_weights, dtype_in_words, find_folder
from providers.spec import ModelSpec

__all__ = ["Encoder", "load_encoder"]

FAMILIES = ("bert", "gemma3_text", "lfm2", "llama_bidirec", "modernbert", "qwen3", "xlm_roberta")
"""The text models of mlx-embeddings; the others process images."""
_NO_LIMIT = 1 << 24
"""transformers' tokenizers have about 10**30 if they know no limit."""


@attrs.frozen(kw_only=True)
class Encoder:
    """A model, and the facts from its folder."""

    model: Any
    tokenizer: Any
    config: Mapping[str, Any]
    pool: Pool | None
    """None: use the model's own `text_embeds`."""
    cross_encoder: bool
    typed: bool
    """Whether the model separates the two halves of a pair by type ids."""
    limit: int
    """The most tokens of one text, special ones included."""
    vocabulary: int
    matryoshka: tuple[int, ...] | bool
    """Sizes to which its vectors can be cut; True: any size."""
    prompts: Mapping[str, str]
    dtype: str
    dtype_reason: str

    @property
    def parameters(self) -> int:
        """Count of the parameters that multiply a token. A look-up in an embedding table costs nothing."""
        flat: list[tuple[str, mx.array]] = tree_flatten(self.model.parameters())  # type: ignore[assignment]
        return sum(array.size for name, array in flat if "embed" not in name)

    def encode(self, rows: Sequence[Sequence[int]], seconds: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Unit vectors (rows, dimensions), or scores (rows, 1). `seconds`: where each row's second text begins."""
        width = max(map(len, rows))
        ids = np.full((len(rows), width), self._padding, np.int32)
        mask = np.zeros((len(rows), width), np.float32)
        types = np.zeros((len(rows), width), np.int32)
        for row, (tokens, second) in enumerate(zip(rows, seconds, strict=True)):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
            types[row, second : len(tokens)] = 1
        extra = {"token_type_ids": mx.array(types)} if self.typed and self.cross_encoder else {}
        made = self._of(self.model(mx.array(ids), attention_mask=mx.array(mask), **extra), mx.array(mask))
        return np.array(made.astype(mx.float32))

    def _of(self, output: Any, mask: mx.array) -> mx.array:
        if self.cross_encoder:
            scores: mx.array = output.pooler_output
            return scores
        states = output.last_hidden_state
        # A model that pools itself (ModernBERT) got its pooling when it was loaded.
        if self.pool is not None and states is not None and states.ndim == 3:
            return unit(self.pool(states, mask))
        return unit(output.text_embeds)

    @property
    def _padding(self) -> int:
        padding = self.config.get("pad_token_id")
        return padding if isinstance(padding, int) and 0 <= padding < self.vocabulary else 0


def load_encoder(spec: ModelSpec, device: str, progress: Progress) -> Encoder:
    """Load `spec.path`, a folder that mlx-embeddings reads, in the precision for the spec and the device.

    Raises:
        EngineLoadError: the folder or its content cannot be used; the message says what and why.
    """
    progress("finding the model", None)
    folder = find_folder(spec.path, progress)
    check_folder(folder)
    config: dict[str, Any] = read_json(folder / "config.json")
    family = str(config.get("model_type")).replace("-", "_")
    if family not in FAMILIES:
        known = ", ".join(name.replace("_", "-") for name in FAMILIES)
        raise EngineLoadError(f"{folder}: models of type {config.get('model_type')!r} give no embeddings; {known} do")
    cross_encoder = _is_cross_encoder(config)
    pooling = read_pooling(folder)
    progress("loading weights", None)
    model = _load_weights(folder, config, family, pooling[0] if pooling else (), cross_encoder=cross_encoder)
    reason = convert_weights(model, config, spec, device, progress)
    mx.eval(model.parameters())
    if device == "cpu" and sys.platform == "linux":
        use_rational_gelu(model)
    progress("loading the tokenizer", None)
    tokenizer = _load_tokenizer(folder, spec)
    prompts = read_json(folder / "config_sentence_transformers.json").get("prompts")
    return Encoder(
        model=model,
        tokenizer=tokenizer,
        config=config,
        pool=pooling[1] if pooling else None,
        cross_encoder=cross_encoder,
        typed=family == "bert",
        limit=_limit(folder, config, family, tokenizer, spec),
        vocabulary=int(config.get("vocab_size") or len(tokenizer)),
        matryoshka=_matryoshka(config),
        prompts={name: text for name, text in prompts.items() if isinstance(text, str)}
        if isinstance(prompts, dict)
        else {},
        dtype=dtype_in_words(model),
        dtype_reason=reason,
    )


def _is_cross_encoder(config: Mapping[str, Any]) -> bool:
    architectures = [str(name) for name in config.get("architectures") or ()]
    if not any(name.endswith("ForSequenceClassification") for name in architectures):
        return False
    labels = config.get("id2label")
    count = len(labels) if isinstance(labels, dict) else config.get("num_labels", 2)
    if count != 1:
        raise EngineLoadError(f"a classifier of {count} labels cannot embed or rank; a cross-encoder has one label")
    return True


def _load_weights(
    folder: Path, config: Mapping[str, Any], family: str, pooling: tuple[str, ...], *, cross_encoder: bool
) -> Any:
    settings: dict[str, Any] = {}
    if family == "modernbert" and not cross_encoder:
        if pooling and pooling[0] not in ("cls_token", "mean_tokens"):
            raise EngineLoadError(f"{folder}: ModernBERT with pooling {pooling[0]} is not supported")
        settings["classifier_pooling"] = "cls" if pooling == ("cls_token",) else "mean"
        # The head that the weights were trained with is not needed: here they only encode.
        settings["architectures"] = ["ModernBertModel"]
    options: dict[str, Any] = {"path_to_repo": str(folder)}
    if cross_encoder and (classes := ranker_class(family)) is not None:
        options["get_model_classes"] = lambda config: classes
    elif cross_encoder and family != "modernbert":
        raise EngineLoadError(f"{folder}: cross-encoders of type {config.get('model_type')!r} are not supported")
    try:
        return load_model(folder, lazy=True, model_config=settings, **options)
    except Exception as error:
        raise EngineLoadError(f"{folder}: the model cannot be loaded: {error}") from error


def _load_tokenizer(folder: Path, spec: ModelSpec) -> Any:
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=spec.trust_remote_code)
    except Exception as error:
        raise EngineLoadError(f"{folder}: the tokenizer cannot be loaded: {error}") from error


def _limit(folder: Path, config: Mapping[str, Any], family: str, tokenizer: Any, spec: ModelSpec) -> int:
    """The smallest of all stated limits, in tokens."""
    limits = [spec.context_length]
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int):
        # XLM-RoBERTa counts positions from behind its padding id.
        limits.append(positions - int(config.get("pad_token_id", 1)) - 1 if family == "xlm_roberta" else positions)
    trained = read_json(folder / "sentence_bert_config.json").get("max_seq_length")
    if isinstance(trained, int):
        limits.append(trained)
    if tokenizer.model_max_length < _NO_LIMIT:
        limits.append(int(tokenizer.model_max_length))
    return max(1, min(limits))


def _matryoshka(config: Mapping[str, Any]) -> tuple[int, ...] | bool:
    """The sizes in the two keys that vLLM reads too."""
    sizes = config.get("matryoshka_dimensions")
    if isinstance(sizes, list):
        return tuple(size for size in sizes if isinstance(size, int))
    return config.get("is_matryoshka") is True
