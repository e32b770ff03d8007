"""From a picture to its features, with the model's vision tower. Only for the MLX thread."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np

from providers.bounded_cache import BoundedCache
from providers.engines.vision.pictures import Picture
from providers.engines.vision.processing import PictureProcessor

__all__ = ["Encoder"]


class Encoder:
    """Computes the features of pictures, and keeps those that were used last."""

    def __init__(
        self, model: Any, processor: PictureProcessor, image_token: int, *, max_bytes: int, needs_mask: bool = False
    ) -> None:
        """`model`: mlx-vlm's. `max_bytes`: bound on the features that are kept for later requests. `needs_mask`: as in
        `Architecture`."""
        self._model = model
        self._processor = processor
        self._image_token = image_token
        self._needs_mask = needs_mask
        self._kept: BoundedCache[str, mx.array] = BoundedCache(max_bytes)
        self.runs = 0
        """How often the tower was run."""

    def forget(self) -> None:
        """Keep no features but those that requests have."""
        self._kept = BoundedCache(self._kept.max_bytes)

    def find(self, picture: Picture) -> bool:
        """Whether the features are there. Those that are kept stay with the picture from now on."""
        if picture.features is None:
            picture.features = self._kept.get(picture.expansion.digest)
        if picture.features is not None:
            picture.inputs = None
        return picture.features is not None

    def features(self, picture: Picture) -> mx.array:
        """The features of a picture, a row per virtual id; computed unless they are there.

        What architectures add to the outputs of their first layers (deepstack) is behind the embeddings in each row.
        """
        if not self.find(picture):
            picture.features = self._encode(picture)
            picture.inputs, picture.encoded = None, True
            self._kept.put(picture.expansion.digest, picture.features, picture.features.nbytes)
        assert picture.features is not None
        return picture.features

    def _encode(self, picture: Picture) -> mx.array:
        ids = np.array(picture.expansion.tokens, dtype=np.int32)
        places = mx.array(np.nonzero(ids < 0)[0])
        inputs = self._processor.read(picture.part).inputs if picture.inputs is None else picture.inputs
        inputs = {name: mx.array(it) if isinstance(it, np.ndarray) else it for name, it in inputs.items()}
        shown = mx.array(np.where(ids < 0, self._image_token, ids))[None]
        if self._needs_mask:
            inputs["mask"] = mx.ones(shown.shape)
        made = self._model.get_input_embeddings(shown, **inputs)
        deeper = [] if made.deepstack_visual_embeds is None else [*made.deepstack_visual_embeds]
        features = mx.concatenate([made.inputs_embeds[0][places], *deeper], axis=-1)
        mx.eval(features)
        self.runs += 1
        return features
