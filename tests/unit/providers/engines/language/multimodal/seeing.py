"""An engine of models that read pictures, one step at a time, and mlx-vlm's own generator, which judges it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlx_vlm.generate import stream_generate
from mlx_vlm.utils import load_model, load_processor
from PIL import Image

from providers.chat.types import (
    ChatMessage,
    ChatPrompt,
    ImagePart,
    TextPart,
)
from providers.engines.language.multimodal import MultimodalEngine
from tests.unit.providers.engines import tiny_vision
from tests.unit.providers.engines.client import Answer
from tests.unit.providers.engines.inprocess import SteppedEngine
from tests.unit.providers.engines.tiny_vision import chat, picture

FAMILIES = ["smolvlm", "qwen2_vl"]
OTHERS = sorted(tiny_vision.IMAGE_TOKENS.keys() - FAMILIES)


TOKENS = 10


WIDE = picture(4, 90, 30)


class Seeing(SteppedEngine):
    engine: MultimodalEngine

    def __init__(self, folder: Path, **spec: Any) -> None:
        spec = {"model_type": "multimodal", "max_concurrency": 4, **spec}
        super().__init__(folder, MultimodalEngine, **spec)

    @property
    def runs(self) -> int:
        return self.engine._seeing.encoder.runs

    def tokens(self, id: str, *parts: str | ImagePart, **request: Any) -> Answer:
        return self.submit(id, chat(*parts), **{"max_tokens": TOKENS, "top_logprobs": 0, **request})


def raws(answer: Answer) -> list[bytes]:
    assert answer.failed is None
    return [token.raw for token in answer.logprobs]


class Judge:
    """mlx-vlm's own generator at temperature 0."""

    def __init__(self, folder: Path, model_type: str, seeing: Seeing) -> None:
        self._model = load_model(folder)
        self._processor = load_processor(folder, add_detokenizer=True, trust_remote_code=False)
        if model_type == "llava":
            # mlx-vlm passes the tokenizer's `padding` on to the image processor, which refuses it.
            read = self._processor.image_processor
            self._processor.image_processor = lambda images, **_: read(images)
        self._image = tiny_vision.IMAGE[model_type]
        self._piece = seeing.engine._text.piece

    def __call__(self, *parts: str | ImagePart, count: int = TOKENS) -> list[bytes]:
        text = "".join(part if isinstance(part, str) else self._image for part in parts)
        images = [
            Image.frombytes("RGB", (part.width, part.height), part.pixels)
            for part in parts
            if not isinstance(part, str)
        ]
        prompt = f"<|start|>user\n{text}<|end|><|start|>"
        made = stream_generate(
            self._model, self._processor, prompt, image=images or None, max_tokens=count, temperature=0.0
        )
        return [self._piece(response.token)[1] for response in made][:count]


PROMPTS: list[tuple[str | ImagePart, ...]] = [
    ("what is ", picture(1), "this?"),
    (picture(2), "and that?"),
    ("one ", picture(3), "two ", WIDE, "which?"),
    ("no picture, only a longer text about hello and hell",),
]


def turns(*more: str) -> ChatPrompt:
    asked = ChatMessage(role="user", content=[TextPart("what is "), picture(11), TextPart("this?")])
    roles = ("assistant", "user")
    return ChatPrompt(messages=[asked, *(ChatMessage(role, text) for role, text in zip(roles, more, strict=False))])
