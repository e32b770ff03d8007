"""The architectures whose pictures the engine can place among tokens, and those that it refuses."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from providers.engines.process.engine import EngineLoadError

__all__ = ["ARCHITECTURES", "Architecture", "find_architecture"]


@attrs.frozen(kw_only=True)
class Architecture:
    """How one architecture of mlx-vlm reads pictures.

    All of them put embeddings in the place of tokens. Qwen3-VL also adds to them in its first layers.
    """

    has_grid: bool = False
    """Whether tokens have a position in time, height and width, as in Qwen2-VL (mrope). Otherwise they are counted."""


ARCHITECTURES: Mapping[str, Architecture] = {
    "idefics3": Architecture(),
    "mistral3": Architecture(),
    "pixtral": Architecture(),
    "qwen2_5_vl": Architecture(has_grid=True),
    "qwen2_vl": Architecture(has_grid=True),
    "qwen3_vl": Architecture(has_grid=True),
    "qwen3_vl_moe": Architecture(has_grid=True),
    "smolvlm": Architecture(),
}
"""By the `model_type` of config.json."""


def find_architecture(model_type: object) -> Architecture:
    """The architecture with this name.

    Raises:
        EngineLoadError: it is unknown, or its pictures are more than embeddings (cross attention, masks that look
            ahead inside a picture).
    """
    found = ARCHITECTURES.get(str(model_type))
    if found is None:
        known = ", ".join(sorted(ARCHITECTURES))
        raise EngineLoadError(f"pictures are not supported for models of type {model_type!r}, only for {known}")
    return found
