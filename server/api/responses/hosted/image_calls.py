"""Images of a conversation, as the calls and outputs of a function that the model reads."""

from __future__ import annotations

import json
from collections.abc import Sequence

from contracts.responses.items import FunctionCallOutput, FunctionToolCall, ImageGenerationCall, StoredItem
from server.api.responses.tools import IMAGE, PROMPT

__all__ = ["with_image_calls"]

_SHOWN = "The image was shown to the user."


def with_image_calls(items: Sequence[StoredItem]) -> list[StoredItem]:
    """The items; each image is the call that it came of, and an output that says what became of it."""
    return [each for item in items for each in (_call(item) if isinstance(item, ImageGenerationCall) else [item])]


def _call(item: ImageGenerationCall) -> list[StoredItem]:
    id, arguments = item.id or "", json.dumps({PROMPT: item.revised_prompt or ""}, ensure_ascii=False)
    output = f"The image was not painted: {item.error.message}" if item.error else _SHOWN
    return [
        FunctionToolCall(type="function_call", call_id=id, name=IMAGE, arguments=arguments),
        FunctionCallOutput(type="function_call_output", call_id=id, output=output),
    ]
