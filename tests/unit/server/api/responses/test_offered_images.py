"""The tool `image_generation`, as it reaches a model whose server paints."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.responses.request import CreateResponse
from providers.chat.types import Tool, ToolChoice
from providers.errors import InvalidRequest, UnsupportedParameter
from server.api.responses.tools import OfferedTools, offer, to_tools
from server.noted import noting
from server.serialization import converter
from tests.unit.server.api.responses.scripts import BODY

F: dict[str, Any] = {"type": "function", "name": "f"}
IMAGE = {"type": "image_generation", "size": "64x64"}
WEB = {"type": "web_search"}
PROMPT = {"type": "string", "minLength": 1, "description": "What the image shows, in detail."}
PAINTING = Tool(
    "image_generation",
    "Paint an image, which is shown to the user.",
    {"type": "object", "properties": {"prompt": PROMPT}, "required": ["prompt"], "additionalProperties": False},
    strict=True,
)


def request(*tools: dict[str, Any], choice: Any = None) -> CreateResponse:
    return converter.structure({**BODY, "tools": [*tools], "tool_choice": choice}, CreateResponse)


def offered(*tools: dict[str, Any], paints: bool = True) -> tuple[OfferedTools, list[str]]:
    """The tools, and what is noted of them."""
    with noting() as noted:
        found = offer(request(*tools).tools, paints=paints)
    return found, [*noted.names]


def chosen(choice: Any, *tools: dict[str, Any], paints: bool = True) -> tuple[list[str], ToolChoice]:
    asked = request(*tools, choice=choice)
    listed, made = to_tools(offer(asked.tools, paints=paints), asked.tool_choice, None)
    return [tool.name for tool in listed], made


def allowed(*tools: dict[str, Any], mode: str = "auto") -> dict[str, Any]:
    return {"type": "allowed_tools", "mode": mode, "tools": [*tools]}


def test_the_tool_is_a_function_of_one_text() -> None:
    found, noted = offered(WEB, F, IMAGE)
    assert [*found.functions.values()] == [Tool("f"), PAINTING]
    assert noted == ["tools[0].web_search"]
    assert found.paints
    origin = found.origin("image_generation")
    assert (origin.name, origin.namespace, origin.is_image, origin.is_custom, origin.path) == (
        "image_generation",
        None,
        True,
        False,
        "tools[2]",
    )


@pytest.mark.parametrize(
    ("tool", "paints", "name"),
    [
        (IMAGE, False, "tools[1].image_generation"),
        ({"type": "namespace", "name": "n", "tools": [IMAGE]}, True, "tools[1].tools[0].image_generation"),
    ],
)
def test_where_nothing_is_painted_the_tool_is_left_out_and_named(tool: dict[str, Any], paints: bool, name: str) -> None:
    found, noted = offered(F, tool, paints=paints)
    assert ([*found.functions], noted, found.paints) == (["f"], [name], False)


@pytest.mark.parametrize("tools", [[IMAGE, IMAGE], [IMAGE, {**F, "name": "image_generation"}]])
def test_the_tool_is_there_once(tools: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidRequest, match=r"^tools: two functions have the same name: 'image_generation'$"):
        offered(*tools)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("required", (["f", "image_generation"], ToolChoice("required"))),
        ({"type": "image_generation"}, (["f", "image_generation"], ToolChoice("required", "image_generation"))),
        (allowed(IMAGE), (["image_generation"], ToolChoice())),
        (allowed(WEB, IMAGE, mode="required"), (["image_generation"], ToolChoice("required"))),
        (allowed(F, mode="required"), (["f"], ToolChoice("required"))),
    ],
)
def test_the_tool_can_be_chosen(choice: Any, expected: tuple[list[str], ToolChoice]) -> None:
    assert chosen(choice, F, IMAGE) == expected


@pytest.mark.parametrize(
    ("choice", "param"),
    [({"type": "image_generation"}, "tool_choice.type"), (allowed(IMAGE), "tool_choice.tools[0].type")],
)
@pytest.mark.parametrize(("tools", "paints"), [([F, IMAGE], False), ([F], True)])
def test_the_choice_of_what_is_not_painted_is_refused(
    choice: Any, param: str, tools: list[dict[str, Any]], paints: bool
) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        chosen(choice, *tools, paints=paints)
    message = f"{param}: 'image_generation' is not a tool of this server"
    assert (caught.value.message, caught.value.param) == (message, param)
