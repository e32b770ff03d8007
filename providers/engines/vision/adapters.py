"""The names of layers in adapters of models that read pictures."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["layer_names"]

_WRAPPERS = r"(?:(?:model|language_model|text_model)\.)*"
_LAYER = re.compile(rf"{_WRAPPERS}((?:layers\.|embed_tokens$|norm$).*)")
_HEAD = re.compile(rf"{_WRAPPERS}(lm_head)")


def layer_names(language_model: Any) -> Callable[[str], str]:
    """From the name of a layer in an adapter to that in this language model.

    Adapters name layers as mlx-vlm's whole model does, as transformers' does, or as the language model by itself.
    The function raises ValueError for a layer of another part, such as the vision tower.
    """
    root = "model." if hasattr(language_model, "model") else ""

    def name(given: str) -> str:
        if (found := _LAYER.fullmatch(given)) is not None:
            return root + found[1]
        if (found := _HEAD.fullmatch(given)) is not None:
            return found[1]
        raise ValueError(f"{given} is no layer of the language model: adapters of the vision tower are not supported")

    return name
