"""From a model folder to mlx-vlm's model and processor. On the MLX thread."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from mlx_vlm import utils as mlx_vlm_utils

from providers.engines.process.engine import EngineLoadError
from providers.engines.vision.architectures import Architecture, find_architecture
from providers.engines.vision.processing import PictureProcessor
from providers.spec import ModelSpec

__all__ = ["VisionModel", "load_vision_model"]

_IMAGE_TOKENS = ("image_token_id", "image_token_index")
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_mlx_vlm: Any = mlx_vlm_utils  # partly annotated


@attrs.frozen(kw_only=True)
class VisionModel:
    """A model with a vision tower, and what turns pictures into its input."""

    model: Any
    """mlx-vlm's. Its weights are not evaluated."""
    config: dict[str, Any]
    architecture: Architecture
    processor: PictureProcessor
    placeholder: str
    """What stands for a picture in the text of a prompt."""
    image_token: int
    image_text: str
    """The text of the image token, and what stands around a picture's tokens."""
    chat_template: str | None
    """The processor's own, if there is one."""


def load_vision_model(folder: Path, spec: ModelSpec) -> VisionModel:
    """Load a model folder of an architecture in `ARCHITECTURES`.

    Raises:
        EngineLoadError: the folder or its content cannot be used; the message says what and why.
    """
    config = _read_config(folder)
    if "model_file" in config:
        # mlx-vlm would run it unasked, and what it defines is none of the known architectures.
        raise EngineLoadError(f"{folder}: models with code of their own (model_file) are not supported with pictures")
    architecture = find_architecture(config.get("model_type"))
    if not any((folder / name).is_file() for name in _PROCESSOR_FILES):
        raise EngineLoadError(f"{folder}: the settings of the processor are missing ({' or '.join(_PROCESSOR_FILES)})")
    try:
        # mlx-vlm and transformers print notes.
        with contextlib.redirect_stdout(sys.stderr):
            model = _mlx_vlm.load_model(folder, lazy=True)
            processor = _mlx_vlm.load_processor(folder, add_detokenizer=False, trust_remote_code=spec.trust_remote_code)
    except KeyError as error:
        raise EngineLoadError(f"{folder / 'config.json'}: {error} is missing") from error
    except Exception as error:
        raise EngineLoadError(f"{folder}: the model cannot be loaded: {error}") from error
    image_token = _image_token(processor, model.config)
    image_text = processor.tokenizer.convert_ids_to_tokens(image_token)
    if not image_text:
        raise EngineLoadError(f"{folder}: the tokenizer has no token {image_token}, which stands for images")
    placeholder, around = architecture.placeholder or image_text, architecture.around
    merge_size = int(model.config.vision_config.spatial_merge_size) if architecture.has_grid else None
    template = getattr(processor if architecture.has_own_template else processor.tokenizer, "chat_template", None)
    return VisionModel(
        model=model,
        config=config,
        architecture=architecture,
        processor=PictureProcessor(processor, placeholder, image_token, merge_size, around=around),
        placeholder=placeholder,
        image_token=image_token,
        image_text=f"{around}{image_text}{around}",
        chat_template=template if isinstance(template, str) else None,
    )


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise EngineLoadError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(config, Mapping):
        raise EngineLoadError(f"{path}: not a JSON object")
    return dict(config)


def _image_token(processor: Any, config: Any) -> int:
    """The id that the processor writes where the model reads features. InternVL's folders do not name it."""
    known = (getattr(processor, "img_context_token_id", None), *(getattr(config, name, None) for name in _IMAGE_TOKENS))
    for value in known:
        if isinstance(value, int):
            return value
    raise EngineLoadError("config.json names no image token (image_token_id)")
