"""Items of tools that this server does not have, as clients replay them from other servers.

A call that the client answered reads as a call of a function and its output. Everything else is skipped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from contracts.responses.items import FunctionCallOutput, FunctionToolCall, InputImageContent, OtherItem
from server.api.generation.unread import placeholder
from server.noted import note

__all__ = ["as_calls", "returned"]

_CALLS: Mapping[str, str] = {
    "apply_patch_call": "operation",
    "computer_call": "action",
    "local_shell_call": "action",
    "shell_call": "action",
    "tool_search_call": "arguments",
}
"""Types of calls, and the field that has their arguments. The name of the function is that of the type."""

_OUTPUTS: Mapping[str, str] = {
    "apply_patch_call_output": "output",
    "computer_call_output": "output",
    "local_shell_call_output": "output",
    "shell_call_output": "output",
    "tool_search_output": "tools",
}

_ANSWERED: Mapping[str, tuple[str, str]] = {
    "code_interpreter_call": ("code", "outputs"),
    "mcp_call": ("arguments", "output"),
}
"""Types of calls that carry their output, and the fields of both."""


_IMAGES = ("computer_screenshot", "image", "image_url")
"""Types of what a tool returned that hold an image, as text of a megabyte or more."""


def as_calls(item: OtherItem, id: str, *, pictures: bool) -> list[FunctionToolCall | FunctionCallOutput]:
    """The calls and outputs of an item; `id` is for those that have none. None of them: the item is skipped, and
    noted. `pictures`: the model reads them."""
    fields = item.fields
    own = fields.get("id")
    call_id = next((each for each in (fields.get("call_id"), own, id) if isinstance(each, str) and each), id)
    if item.type in _CALLS:
        return [_call(item.type.removesuffix("_call"), call_id, id, fields.get(_CALLS[item.type]))]
    if item.type in _OUTPUTS:
        return [_output(call_id, id, fields.get(_OUTPUTS[item.type]), pictures)]
    if item.type in _ANSWERED:
        arguments, output = _ANSWERED[item.type]
        name = fields.get("name")
        return [
            _call(name if isinstance(name, str) else "code_interpreter", call_id, id, fields.get(arguments)),
            _output(call_id, f"{id}o", fields.get(output) or fields.get("error"), pictures),
        ]
    note(f"input[].{item.type}")
    return []


def _call(name: str, call_id: str, id: str, arguments: Any) -> FunctionToolCall:
    return FunctionToolCall(type="function_call", id=id, call_id=call_id, name=name, arguments=_text(arguments))


def _output(call_id: str, id: str, output: Any, pictures: bool) -> FunctionCallOutput:
    made: Any = returned(output, pictures=pictures)
    return FunctionCallOutput(type="function_call_output", id=id, call_id=call_id, output=made)


def returned(value: Any, *, pictures: bool) -> str | list[InputImageContent]:
    """What a tool returned: a picture, if the model reads them, or a text. It is that of a text part, a placeholder for
    another image, and JSON of anything else."""
    if pictures and (picture := _picture(value)) is not None:
        return [picture]
    if isinstance(value, dict):
        type_ = value.get("type")
        if type_ in _IMAGES:
            return placeholder("image", f"input[].output.{type_}")
        if type_ == "text" and isinstance(value.get("text"), str):
            return str(value["text"])
    return _text(value)


def _picture(value: Any) -> InputImageContent | None:
    """The picture in a part of another API. None: it is none, or has no source."""
    if not isinstance(value, dict) or value.get("type") not in _IMAGES:
        return None
    if isinstance(data := value.get("data"), str):  # as tools return them by the Model Context Protocol
        return InputImageContent(type="input_image", image_url=f"data:;base64,{data}")
    url, file = value.get("image_url"), value.get("file_id")
    if isinstance(url, dict):
        url = url.get("url")
    if isinstance(url, str) and url:
        return InputImageContent(type="input_image", image_url=url)
    return InputImageContent(type="input_image", file_id=file) if isinstance(file, str) and file else None


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
