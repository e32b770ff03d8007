"""The model's own processor, applied to one picture at a time. Not on the MLX thread, as far as possible."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from PIL import Image

from providers.chat.types import ImagePart
from providers.engines.vision.pictures import Grid, Reading
from providers.errors import InvalidRequest

__all__ = ["PictureProcessor"]

_TEXT_OUTPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids"})


class PictureProcessor:
    """Reads pictures with a processor of mlx-vlm. Threads may share it."""

    def __init__(
        self, processor: Any, placeholder: str, image_token: int, merge_size: int | None, *, around: str = ""
    ) -> None:
        """Wrap a processor.

        Args:
            placeholder: the text that stands for a picture in a prompt.
            image_token: the token that the processor writes where the model reads features.
            merge_size: patches per token, in height and in width; None: the architecture has no grid.
            around: the text that the processor writes before and after; it is no part of what it reads.
        """
        self._processor = processor
        self._placeholder = placeholder
        self._image_token = image_token
        self._merge_size = merge_size
        self._lock = threading.Lock()
        tokenizer = processor.tokenizer
        alone: list[int] = tokenizer.encode(tokenizer.convert_ids_to_tokens(image_token))
        place, beside = alone.index(image_token), len(tokenizer.encode(around, add_special_tokens=False))
        self._added = place + beside, len(alone) - place - 1 + beside
        """How many tokens there are before and after those of a picture: the tokenizer adds some to any text, which
        only a prompt as a whole has."""

    def read(self, part: ImagePart) -> Reading:
        """Read a picture.

        Raises:
            InvalidRequest: the processor refuses it, for example since it is too narrow.
        """
        image = Image.frombytes("RGB", (part.width, part.height), part.pixels)
        try:
            with self._lock:
                outputs = dict(self._processor(text=[self._placeholder], images=[image]))
        except Exception as error:
            message = f"the model cannot read a picture of {part.width} × {part.height} pixels: {error}"
            raise InvalidRequest(message, param="messages") from error
        tokens: list[int] = np.asarray(outputs["input_ids"]).reshape(-1).tolist()
        before, after = self._added
        tokens = tokens[before : len(tokens) - after]
        if self._image_token not in tokens:
            raise InvalidRequest("the model's processor leaves no place for the picture", param="messages")
        inputs = {name: value for name, value in outputs.items() if name not in _TEXT_OUTPUTS}
        return Reading(tokens=tokens, inputs=inputs, grid=self._grid(inputs))

    def _grid(self, inputs: dict[str, Any]) -> Grid | None:
        if self._merge_size is None:
            return None
        time, height, width = np.asarray(inputs["image_grid_thw"]).reshape(-1).tolist()
        return int(time), int(height) // self._merge_size, int(width) // self._merge_size
