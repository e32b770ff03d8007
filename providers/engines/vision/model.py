"""What mlx-lm's generator calls instead of a language model: one that finds pictures among the tokens."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import ArraysCache, KVCache, RotatingKVCache, make_prompt_cache
from mlx_vlm.models import cache as mlx_vlm_cache

from providers.engines.process.engine import EngineLoadError
from providers.engines.vision.encoding import Encoder
from providers.engines.vision.pictures import Expansion, Found, Picture
from providers.engines.vision.positions import PositionCache, advance

__all__ = ["SeeingModel"]


class SeeingModel:
    """A model of mlx-vlm with the signature of mlx-lm's. Only for the MLX thread.

    Virtual ids among the tokens become the features of their picture. Tokens that the host made are signed integers;
    a sampler's are unsigned, never virtual, and not looked at: nothing waits for them.
    """

    def __init__(self, model: Any, encoder: Encoder, *, has_grid: bool) -> None:
        """`has_grid`: as in `Architecture`."""
        self._model = model
        self._language = model.language_model
        self.encoder = encoder
        self._has_grid = has_grid
        self._watched: weakref.WeakSet[Picture] = weakref.WeakSet()

    def watch(self, pictures: Iterable[Picture]) -> None:
        """Find these pictures among tokens from now on, as long as a request has them."""
        self._watched.update(pictures)

    @property
    def layers(self) -> Any:
        return self._language.layers

    def modules(self) -> list[Any]:
        """The modules that compute a token's logits."""
        found: list[Any] = self._language.modules()
        return found

    def make_cache(self) -> list[Any]:
        """An empty cache of each layer, and of the positions where tokens have more than their number."""
        layers = [*map(_batchable, make_prompt_cache(self._language))]
        return [*layers, PositionCache()] if self._has_grid else layers  # type: ignore[no-untyped-call]

    def __call__(self, tokens: mx.array, cache: list[Any] | None = None) -> mx.array:
        """Logits (sequences, tokens, vocabulary) after tokens (sequences, tokens)."""
        found = self._found(tokens)
        options: dict[str, Any] = {}
        if self._has_grid:
            assert cache is not None
            *cache, positions = cache
            options["position_ids"] = advance(positions, tokens.shape, found)
        if found:
            tokens = mx.maximum(tokens, 0)
            options |= self._embedded(tokens, found)
        logits: mx.array = self._language(tokens, cache=cache, **options).logits
        return logits

    def _found(self, tokens: mx.array) -> list[Found]:
        """The pictures among tokens (sequences, tokens)."""
        found: list[Found] = []
        if not self._watched or tokens.dtype != mx.int32:
            return found
        ids = np.array(tokens)
        for line, row in enumerate(ids):
            missing = int((row < 0).sum())
            for expansion, picture in self._distinct() if missing else ():
                places, rows = expansion.rows(row)
                if len(places):
                    missing -= len(places)
                    found.append(Found(picture, line, places, rows))
            if missing:
                raise RuntimeError("a prompt has a picture that no request has")
        return found

    def _distinct(self) -> Iterable[tuple[Expansion, Picture]]:
        """The watched pictures, each once: several requests may have the same."""
        return {picture.expansion: picture for picture in self._watched}.items()

    def _embedded(self, tokens: mx.array, found: Sequence[Found]) -> dict[str, Any]:
        """The embeddings of tokens and pictures, and what the first layers add to pictures, by mlx-vlm's names."""
        embeddings: mx.array = self._model.get_input_embeddings(tokens).inputs_embeds
        width = embeddings.shape[-1]
        lines = np.concatenate([np.full(len(each.places), each.sequence) for each in found])
        places = np.concatenate([each.places for each in found])
        features = mx.concatenate([self.encoder.features(each.picture)[mx.array(each.rows)] for each in found])
        features = features.astype(embeddings.dtype)
        embeddings[mx.array(lines), mx.array(places)] = features[:, :width]
        if features.shape[-1] == width:
            return {"inputs_embeds": embeddings}
        seen = np.zeros(tokens.shape, dtype=np.bool_)
        seen[lines, places] = True
        features = features[mx.array(np.lexsort((places, lines)))]
        deeper = mx.split(features[:, width:], features.shape[-1] // width - 1, axis=-1)
        return {"inputs_embeds": embeddings, "visual_pos_masks": mx.array(seen), "deepstack_visual_embeds": deeper}


def _batchable(layer: Any) -> Any:
    """The cache of mlx-lm for mlx-vlm's of the same kind, which mlx-lm does not batch.

    Raises:
        EngineLoadError: there is none.
    """
    if type(layer) is mlx_vlm_cache.KVCache:
        return KVCache()  # type: ignore[no-untyped-call]
    if type(layer) is mlx_vlm_cache.RotatingKVCache:
        return RotatingKVCache(max_size=layer.max_size, keep=layer.keep)  # type: ignore[no-untyped-call]
    if type(layer) is mlx_vlm_cache.ArraysCache:
        return ArraysCache(size=len(layer.cache))
    if not type(layer).__module__.startswith("mlx_lm."):
        raise EngineLoadError(f"models whose layers keep {type(layer).__name__} cannot be batched with pictures")
    return layer
