"""The tools of a response and the choice among them, as they reach the model."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.responses.request import CreateResponse
from providers.chat.types import Tool, ToolChoice
from providers.errors import InvalidRequest, UnsupportedParameter
from server.api.responses.tools import Origin, as_choice, offer
from server.serialization import converter
from tests.unit.server.api.responses.asked import noted, prompt, refused
from tests.unit.server.api.responses.scripts import BODY

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
LARK = {"type": "grammar", "syntax": "lark", "definition": 'start: "a"'}
REGEX = {"type": "grammar", "syntax": "regex", "definition": "a|b"}
F: dict[str, Any] = {"type": "function", "name": "f"}
G: dict[str, Any] = {"type": "function", "name": "g"}
SAY: dict[str, Any] = {"type": "custom", "name": "say"}
WEB = {"type": "web_search"}
SEARCH = {"type": "file_search", "vector_store_ids": ["vs_1"]}


def namespace(name: str, *members: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "namespace", "name": name, "tools": [*members], **fields}


def input_of(**held: Any) -> dict[str, Any]:
    """The parameters of the function that stands for a custom tool."""
    properties = {"input": {"type": "string", **held}}
    return {"type": "object", "properties": properties, "required": ["input"], "additionalProperties": False}


def names(**fields: Any) -> list[str]:
    return [tool.name for tool in prompt(**fields).tools]


def chosen(choice: Any, *tools: dict[str, Any], **fields: Any) -> tuple[list[str], ToolChoice]:
    asked = prompt(tools=[*tools], tool_choice=choice, **fields)
    return [tool.name for tool in asked.tools], asked.tool_choice


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        (F, Tool("f")),
        (
            {**F, "description": "Look", "parameters": PARAMETERS, "strict": True},
            Tool("f", "Look", PARAMETERS, strict=True),
        ),
        ({**F, "strict": False}, Tool("f")),
        ({**F, "strict": None}, Tool("f")),
        (SAY, Tool("say", parameters=input_of())),
        ({**SAY, "description": "Say it"}, Tool("say", "Say it", input_of())),
        ({**SAY, "format": {"type": "text"}}, Tool("say", parameters=input_of())),
        ({**SAY, "format": REGEX}, Tool("say", parameters=input_of(pattern="^(?:a|b)$"), strict=True)),
        (
            {**SAY, "format": LARK},
            Tool(
                "say",
                '`input` is text of this Lark grammar:\nstart: "a"',
                input_of(),
                strict=True,
                lark='start: "a"',
            ),
        ),
        (
            {**SAY, "description": "Say it", "format": LARK},
            Tool(
                "say",
                'Say it\n`input` is text of this Lark grammar:\nstart: "a"',
                input_of(),
                strict=True,
                lark='start: "a"',
            ),
        ),
    ],
)
def test_a_tool_reaches_the_model(tool: dict[str, Any], expected: Tool) -> None:
    assert prompt(tools=[tool]).tools == [expected]
    assert noted(tools=[tool]) == []


def test_a_request_without_tools_offers_none() -> None:
    assert prompt().tools == prompt(tools=[]).tools == []


@pytest.mark.parametrize(
    ("space", "name"),
    [
        ("mcp__notes", "mcp__notes__f"),
        ("mcp__notes__", "mcp__notes__f"),
        ("notes_", "notes___f"),
        ("functions", "f"),
    ],
)
def test_the_members_of_a_namespace_bear_its_name(space: str, name: str) -> None:
    assert names(tools=[namespace(space, F)]) == [name]


def test_the_first_member_that_the_model_sees_describes_the_namespace() -> None:
    members = [WEB, {**F, "description": "Add"}, {**G, "description": "Drop"}, SAY]
    found = prompt(tools=[namespace("notes", *members, description="My notes")]).tools
    assert [tool.description for tool in found] == ["[notes: My notes]\nAdd", "Drop", None]
    found = prompt(tools=[namespace("notes", F, G, description="My notes")]).tools
    assert [tool.description for tool in found] == ["[notes: My notes]", None]
    found = prompt(tools=[namespace("notes", F, description="")]).tools
    assert [tool.description for tool in found] == [None]


def test_tools_that_the_server_does_not_have_are_left_out_and_named() -> None:
    tools = [WEB, F, namespace("notes", {"type": "computer"}, G), SEARCH, {"type": "image_generation"}]
    assert names(tools=tools) == ["f", "notes__g"]
    assert noted(tools=tools) == ["tools[0].web_search", "tools[2].tools[0].computer", "tools[4].image_generation"]


def test_members_of_two_namespaces_may_have_one_name_in_the_prompt() -> None:
    plain = {"type": "function", "name": "a__f"}
    tools = [plain, namespace("a", F), namespace("a__", F)]
    assert names(tools=tools) == ["a__f", "a__f_", "a__f__"]
    offered = offer(converter.structure({**BODY, "tools": tools}, CreateResponse).tools)
    assert [(offered.origin(name).name, offered.origin(name).namespace) for name in offered.functions] == [
        ("a__f", None),
        ("f", "a"),
        ("f", "a__"),
    ]
    assert offered.origin("nowhere") == Origin(name="nowhere")


@pytest.mark.parametrize(
    "tools", [[F, F], [F, {"type": "custom", "name": "f"}], [namespace("a", F, G, F)], [namespace("a", F)] * 2]
)
def test_two_tools_of_one_name_are_refused(tools: list[dict[str, Any]]) -> None:
    error = refused(tools=tools)
    assert (error.message, error.param) == ("tools: two functions have the same name: 'f'", "tools")


def test_a_refusal_repeats_only_the_beginning_of_a_long_name() -> None:
    long = {"type": "function", "name": "f" * 100}
    assert refused(tools=[long, long]).message == f"tools: two functions have the same name: '{'f' * 64}'"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ("auto", ToolChoice()),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ("any", ToolChoice("required")),
        ({"type": "auto"}, ToolChoice()),
        ({"type": "none"}, ToolChoice("none")),
        ({"type": "any"}, ToolChoice("required")),
        ({"type": "required"}, ToolChoice("required")),
        ({"type": "function", "name": "g"}, ToolChoice("required", "g")),
        ({"type": "function", "function": {"name": "g"}}, ToolChoice("required", "g")),
        ({"type": "function", "name": "g", "function": {"name": "f"}}, ToolChoice("required", "g")),
        ({"type": "tool", "name": "g"}, ToolChoice("required", "g")),
        ({"type": "custom", "name": "say"}, ToolChoice("required", "say")),
    ],
)
@pytest.mark.parametrize("parallel", [None, True, False])
def test_every_choice_reaches_the_engine(choice: Any, expected: ToolChoice, parallel: bool | None) -> None:
    one = ToolChoice(expected.mode, expected.name, parallel is not False)
    assert chosen(choice, F, SAY, G, parallel_tool_calls=parallel) == (["f", "say", "g"], one)


@pytest.mark.parametrize(
    ("mode", "listed", "left"),
    [
        ("auto", [F], ["f"]),
        ("required", [SAY, F], ["f", "say"]),
        ("required", [F, WEB], ["f"]),
        ("auto", [WEB, SAY], ["say"]),
    ],
)
@pytest.mark.parametrize("parallel", [True, False])
def test_a_list_of_allowed_tools_leaves_only_those(
    mode: Any, listed: list[dict[str, Any]], left: list[str], parallel: bool
) -> None:
    choice = {"type": "allowed_tools", "mode": mode, "tools": listed}
    expected = (left, ToolChoice(mode, parallel=parallel))
    assert chosen(choice, F, G, SAY, parallel_tool_calls=parallel) == expected


def test_allowed_tools_that_the_server_does_not_have_are_named() -> None:
    choice: dict[str, Any] = {"type": "allowed_tools", "mode": "auto", "tools": [F, WEB, {"type": "computer"}]}
    assert noted(tools=[F], tool_choice=choice) == ["tool_choice.tools[1].web_search", "tool_choice.tools[2].computer"]
    choice["tools"][1:] = [{"type": "file_search"}]
    assert noted(tools=[F], tool_choice=choice) == ["tool_choice.tools[1].file_search"]


def allowed(*listed: dict[str, Any], mode: str = "auto") -> dict[str, Any]:
    return {"type": "allowed_tools", "mode": mode, "tools": [*listed]}


@pytest.mark.parametrize(
    ("choice", "kind", "message"),
    [
        ({"type": "function"}, InvalidRequest, "tool_choice.name: required, but missing"),
        ({"type": "function", "name": "x"}, InvalidRequest, "tool_choice.name: there is no function of this name"),
        ({"type": "custom", "name": "x"}, InvalidRequest, "tool_choice.name: there is no function of this name"),
        (WEB, UnsupportedParameter, "tool_choice.type: 'web_search' is not a tool of this server"),
        (
            {"type": "file_search"},
            UnsupportedParameter,
            "tool_choice.type: 'file_search' is not a tool of this server",
        ),
        ({"type": "w" * 65}, UnsupportedParameter, f"tool_choice.type: '{'w' * 64}' is not a tool of this server"),
        (
            allowed(WEB, {"type": "computer"}),
            UnsupportedParameter,
            "tool_choice.tools[0].type: 'web_search' is not a tool of this server",
        ),
        (
            allowed(F, {**F, "name": "x"}),
            InvalidRequest,
            "tool_choice.tools[1].name: there is no function of this name",
        ),
    ],
)
def test_a_choice_of_what_is_not_there_is_refused_by_its_path(
    choice: Any, kind: type[InvalidRequest], message: str
) -> None:
    error = refused(tools=[F], tool_choice=choice)
    assert (type(error), error.message, error.param) == (kind, message, message.partition(":")[0])


@pytest.mark.parametrize("choice", ["required", "any", {"type": "any"}])
@pytest.mark.parametrize("tools", [None, [], [WEB]])
def test_a_call_cannot_be_required_without_tools(choice: Any, tools: Any) -> None:
    error = refused(tools=tools, tool_choice=choice)
    assert (error.message, error.param) == ("tool_choice: a call is required, and there are no tools", "tool_choice")


@pytest.mark.parametrize(
    ("choice", "tools", "expected"),
    [
        ("required", [SEARCH], ([], ToolChoice())),
        ("required", [SEARCH, F], (["f"], ToolChoice("required"))),
        ("none", [SEARCH], ([], ToolChoice("none"))),
        ({"type": "file_search"}, [F, SEARCH], (["f"], ToolChoice())),
        ({"type": "file_search"}, [SEARCH], ([], ToolChoice())),
        (allowed({"type": "file_search"}, mode="required"), [F, SEARCH], ([], ToolChoice())),
        (allowed({"type": "file_search"}, F, mode="required"), [F, G, SEARCH], (["f"], ToolChoice("required"))),
        (allowed({"type": "file_search"}, F), [F, G, SEARCH], (["f"], ToolChoice())),
    ],
)
def test_a_search_is_a_call(choice: Any, tools: list[dict[str, Any]], expected: tuple[list[str], ToolChoice]) -> None:
    assert chosen(choice, *tools) == expected
    assert noted(tools=tools, tool_choice=choice) == []


def test_a_search_makes_no_other_tool_ours() -> None:
    error = refused(tools=[F, SEARCH], tool_choice=WEB)
    assert (type(error), error.param) == (UnsupportedParameter, "tool_choice.type")
    assert refused(tools=[F, SEARCH], tool_choice=allowed(WEB)).param == "tool_choice.tools[0].type"


def test_a_search_among_allowed_tools_changes_no_path_of_the_others() -> None:
    listed = allowed({"type": "file_search"}, WEB)
    assert chosen(listed, F, SEARCH) == ([], ToolChoice())
    assert noted(tools=[F, SEARCH], tool_choice=listed) == ["tool_choice.tools[1].web_search"]
    listed = allowed({"type": "file_search"}, {**F, "name": "x"})
    assert refused(tools=[F, SEARCH], tool_choice=listed).param == "tool_choice.tools[1].name"


@pytest.mark.parametrize(
    ("param", "here"),
    [
        ("tools[0].function.parameters.properties.a", "tools[1].parameters.properties.a"),
        ("tools[1].function.parameters", "tools[2].tools[1].parameters"),
        ("tools[2].function.parameters.properties.input.pattern", "tools[3].format.definition"),
        ("tools[2].function.lark", "tools[3].format.definition"),
        ("tools[3].function.parameters", "tools[3].parameters"),
        ("tools[10].function.name", "tools[10].name"),
        ("tools[x].function.name", "tools[x].name"),
        ("tools[0]", "tools[1]"),
        ("tools[0].function.parameters.anyOf[1].type", "tools[1].parameters.anyOf[1].type"),
    ],
)
def test_a_path_counts_tools_as_the_client_does(param: str, here: str) -> None:
    tools = [WEB, F, namespace("a", WEB, G), {**SAY, "format": REGEX}]
    offered = offer(converter.structure({**BODY, "tools": tools}, CreateResponse).tools)
    assert offered.path(param, [*offered.functions.values()]) == here


def test_a_path_counts_only_the_allowed_tools() -> None:
    tools = [WEB, F, G]
    offered = offer(converter.structure({**BODY, "tools": tools}, CreateResponse).tools)
    assert offered.path("tools[0].function.parameters", [offered.functions["g"]]) == "tools[2].parameters"


def test_a_choice_is_repeated_in_openai_s_form() -> None:
    given = {"type": "tool", "function": {"name": "f"}}
    choice = converter.structure({**BODY, "tool_choice": given}, CreateResponse).tool_choice
    assert converter.unstructure(as_choice(choice)) == {"type": "function", "name": "f"}
    assert as_choice(None) == "auto"
