"""The speculation that a model's options ask for."""

from __future__ import annotations

from typing import Any

import attrs
import mlx.core as mx
from mlx_lm.models.cache import KVCache, make_prompt_cache

from providers.engines.group.ranks import Ranks
from providers.engines.language.kv_caches import QuantizedCache
from providers.engines.language.loading import LoadedModel, load_language_model
from providers.engines.language.speculation.draft import DraftModel, check_caches
from providers.engines.language.speculation.lookup import PromptLookup
from providers.engines.language.speculation.step import Speculation
from providers.engines.language.speculation.worth import COST_ON_CPU, Always, Measured, Worth
from providers.engines.process.engine import EngineLoadError
from providers.spec import ModelSpec
from providers.weights.config import model_context

__all__ = ["make_speculation", "worth_of_one"]


def make_speculation(
    loaded: LoadedModel,
    spec: ModelSpec,
    layers: list[Any],
    device: str,
    *,
    vocabulary: int,
    prefill_step: int,
    ranks: Ranks,
) -> Speculation | None:
    """The speculation that the spec asks for, with the draft model loaded; None if it asks for none.

    Args:
        layers: a cache of the model.
        vocabulary: count of ids of the model.
        ranks: those that share the model. Only rank 0 loads the draft model.

    Raises:
        EngineLoadError: the model's cache cannot be cut back, or the draft model cannot be used; the message names the
            option.
    """
    if spec.prompt_lookup is None and spec.draft_model is None:
        return None
    check_caches(layers, "--prompt-lookup" if spec.draft_model is None else "--draft-model")
    ends = loaded.tokenizer.eos_token_ids
    batched = not _has_windows(loaded.model)
    single, several = worth_of_one(loaded.model), _worth_of_several(device)
    if spec.draft_model is None or not ranks.leads:
        count, proposer = spec.prompt_lookup or 1, PromptLookup()
        return Speculation(
            proposer, count=count, ends=ends, batched=batched, single=single, several=several, ranks=ranks
        )
    plain = attrs.evolve(spec, path=spec.draft_model, quantize=None, lora_paths=(), lora_scales=())
    try:
        draft = load_language_model(plain, device, lambda stage, fraction: None)
    except EngineLoadError as error:
        raise EngineLoadError(f"--draft-model: {error}") from error
    if draft.tokenizer.get_vocab() != loaded.tokenizer.get_vocab():
        raise EngineLoadError(f"--draft-model: {spec.draft_model} has another vocabulary than {spec.path}")
    limit = model_context(draft.config) or spec.context_length
    drafts = DraftModel(draft.model, vocabulary=vocabulary, limit=limit, prefill_step=prefill_step)
    return Speculation(
        drafts, count=spec.num_draft_tokens, ends=ends, batched=batched, single=single, several=several, ranks=ranks
    )


def worth_of_one(model: Any) -> Worth:
    """What decides about a single sequence: a pass over two tokens costs more than a step that numpy computes."""
    return Measured() if getattr(model, "computes_rows_in_call", False) else Always()


def _worth_of_several(device: str) -> Worth:
    return Measured(cost=COST_ON_CPU) if device == "cpu" else Measured()


class _WatchedCache(KVCache):
    """Notes whether the model asks for a mask that hides all but the last tokens."""

    windowed = False

    def make_mask(self, *args: Any, window_size: int | None = None, **kwargs: Any) -> Any:
        self.windowed = self.windowed or window_size is not None
        return super().make_mask(*args, window_size=window_size, **kwargs)  # type: ignore[no-untyped-call]


def _has_windows(model: Any) -> bool:
    """Whether layers of the model see only the last tokens although their caches keep all.

    Such a window counts keys from the last one. Cutting the sequences of a batch changes the order of keys. Builds the
    graph of a pass and computes nothing.
    """
    layers, watched = make_prompt_cache(model), []
    for place, layer in enumerate(layers):
        watch: Any = _WatchedCache()  # type: ignore[no-untyped-call]
        if type(layer) is KVCache:
            layers[place] = watch
        elif isinstance(layer, QuantizedCache):
            layer.caches = (watch, *layer.caches[1:])
        watched.append(watch)
    model(mx.zeros((1, 2), dtype=mx.uint32), cache=layers)
    return any(watch.windowed for watch in watched)
