"""The architectures whose pictures the engine can place among tokens, and those that it refuses."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from providers.engines.process.engine import EngineLoadError

__all__ = ["ARCHITECTURES", "REFUSED", "Architecture", "find_architecture"]


@attrs.frozen(kw_only=True)
class Architecture:
    """How one architecture of mlx-vlm reads pictures.

    All of them put embeddings in the place of tokens. Qwen3-VL also adds to them in its first layers.
    """

    has_grid: bool = False
    """Whether tokens have a position in time, height and width, as in Qwen2-VL (mrope). Otherwise they are counted."""
    placeholder: str | None = None
    """What the chat template writes for a picture, and the processor replaces. None: the image token."""
    has_own_template: bool = True
    """Whether the processor's chat template is the folder's. Otherwise mlx-vlm made it up."""
    has_lines: bool = False
    """Whether a picture has a line of its own in a prompt, also where the chat template writes none."""
    needs_mask: bool = False
    """Whether the model asks for a mask of its input, which it does not use."""
    around: str = ""
    """A text that the processor writes before and after a picture's tokens, tokenised with the texts beside it."""


ARCHITECTURES: Mapping[str, Architecture] = {
    "gemma3": Architecture(placeholder="<start_of_image>", around="\n\n", needs_mask=True),
    "glm4v": Architecture(has_grid=True),
    "glm4v_moe": Architecture(has_grid=True),
    "idefics3": Architecture(),
    "internvl": Architecture(),
    "internvl_chat": Architecture(placeholder="<image>", has_own_template=False, has_lines=True),
    "lfm2-vl": Architecture(),
    "lfm2_vl": Architecture(),
    "llava": Architecture(),
    "mistral3": Architecture(),
    "pixtral": Architecture(),
    "qwen2_5_vl": Architecture(has_grid=True),
    "qwen2_vl": Architecture(has_grid=True),
    "qwen3_vl": Architecture(has_grid=True),
    "qwen3_vl_moe": Architecture(has_grid=True),
    "smolvlm": Architecture(),
}
"""By the `model_type` of config.json."""


REFUSED: Mapping[str, str] = {
    "gemma3n": "each of its layers reads the tokens beside their embeddings",
    "llava_next": "mlx-vlm puts the features of a part of a picture in the place of a single token",
    "mllama": "it reads pictures by cross attention, and prompts have no tokens for them",
    "paligemma": "mlx-vlm reads one picture, at the beginning of a prompt",
    **dict.fromkeys(("qwen3_5", "qwen3_5_moe"), "its layers keep a state in caches that only mlx-vlm batches"),
}
"""Architectures of mlx-vlm that this engine cannot serve, and why."""


def find_architecture(model_type: object) -> Architecture:
    """The architecture with this name.

    Raises:
        EngineLoadError: it is unknown, or its pictures are more than embeddings in the place of tokens.
    """
    found = ARCHITECTURES.get(str(model_type))
    if (reason := REFUSED.get(str(model_type))) is not None:
        raise EngineLoadError(f"pictures are not supported for models of type {model_type!r}: {reason}")
    if found is None:
        known = ", ".join(sorted(ARCHITECTURES))
        raise EngineLoadError(f"pictures are not supported for models of type {model_type!r}, only for {known}")
    return found
