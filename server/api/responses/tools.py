"""Tools, the choice among them, and the form of the text, from the wire of a response to the domain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from contracts.responses.tools import (
    AllowedTool,
    CustomTool,
    FileSearchTool,
    FunctionTool,
    GrammarFormat,
    NamespaceMember,
    NamespaceTool,
    OtherTool,
    TextFormat,
    TextResponseFormatJsonObject,
    TextResponseFormatJsonSchema,
    ToolChoiceAllowed,
    ToolChoiceCustom,
    ToolChoiceFunction,
    ToolChoiceOptions,
    ToolChoiceOther,
)
from contracts.responses.tools import Tool as WireTool
from contracts.responses.tools import ToolChoice as WireToolChoice
from providers.chat.types import Grammar, JsonObjectGrammar, JsonSchemaGrammar, Tool
from providers.errors import InvalidRequest, UnsupportedParameter
from server.api.generation.tools import Functions, Selection
from server.noted import note

__all__ = [
    "IMAGE",
    "INPUT",
    "PROMPT",
    "OfferedTools",
    "Origin",
    "as_choice",
    "offer",
    "prompt_name",
    "to_grammar",
    "to_tools",
]

INPUT = "input"
"""The argument of the function that stands for a custom tool."""

IMAGE = "image_generation"
"""The function that stands for the tool of this name."""
PROMPT = "prompt"
"""Its argument."""

_SEARCH = "file_search"

_PLAIN = (None, "", "functions")
"""Namespaces that change no name. Codex puts tools of its own into `functions`."""

Choice = ToolChoiceOptions | ToolChoiceFunction | ToolChoiceCustom | ToolChoiceAllowed | ToolChoiceOther
"""A choice in OpenAI's form."""

_WORDS: Mapping[str, ToolChoiceOptions] = {
    "none": "none",
    "auto": "auto",
    "required": "required",
    "any": "required",
}
"""The words for a choice, and OpenAI's."""


@attrs.frozen(kw_only=True)
class Origin:
    """A tool as the client knows it."""

    name: str
    namespace: str | None = None
    is_custom: bool = False
    is_image: bool = False
    """Whether the server paints what the model calls."""
    path: str = "tools"
    """Its place in the request."""


@attrs.frozen
class OfferedTools:
    """The tools of a response that the model may call, by the names under which it knows them."""

    functions: dict[str, Tool] = attrs.field(factory=dict)
    origins: dict[str, Origin] = attrs.field(factory=dict)
    searches: bool = False
    """Whether the server may search files."""

    @property
    def paints(self) -> bool:
        """Whether the model may have images painted."""
        return self.origin(IMAGE).is_image

    @property
    def has_custom(self) -> bool:
        return any(origin.is_custom for origin in self.origins.values())

    def origin(self, name: str) -> Origin:
        """The tool that the model called by this name."""
        return self.origins.get(name) or Origin(name=name)

    def path(self, param: str, listed: Sequence[Tool]) -> str:
        """The client's path of `tools[0].function.…`, in which the engine counts the functions that are `listed`."""
        number, _, rest = param.removeprefix("tools[").partition("]")
        rest = rest.removeprefix(".function")  # chat nests the fields of a function one level deeper
        if not (number.isdecimal() and int(number) < len(listed)):
            return f"tools[{number}]{rest}"
        origin = self.origin(listed[int(number)].name)
        return f"{origin.path}.format.definition" if origin.is_custom else f"{origin.path}{rest}"


def offer(tools: Sequence[WireTool] | None, *, paints: bool = False) -> OfferedTools:
    """The functions that the model sees: custom tools take their input as an argument, and the members of a namespace
    bear its name. The server searches files itself. Tools of other types are left out and noted, as are images unless
    the server `paints`.

    Raises:
        InvalidRequest: two tools have the same name.
    """
    offered = OfferedTools(searches=any(isinstance(tool, FileSearchTool) for tool in tools or []))
    for tool, namespace, path in _each(tools or []):
        if isinstance(tool, OtherTool):
            if tool.type == IMAGE and paints and namespace is None:
                origin = Origin(name=IMAGE, is_image=True, path=path)
                name = _unused(IMAGE, origin, offered)
                offered.origins[name], offered.functions[name] = origin, _painting(name)
            else:
                note(f"{path}.{tool.type}")
            continue
        origin = Origin(name=tool.name, namespace=namespace, is_custom=isinstance(tool, CustomTool), path=path)
        name = _unused(prompt_name(tool.name, namespace), origin, offered)
        offered.origins[name] = origin
        offered.functions[name] = _custom(name, tool) if isinstance(tool, CustomTool) else _function(name, tool)
    return offered


def prompt_name(name: str, namespace: str | None) -> str:
    """The name of a function in the prompt, as agents named the tools of MCP servers before there were namespaces."""
    if namespace is None or namespace in _PLAIN:
        return name
    return f"{namespace}{'' if namespace.endswith('__') else '__'}{name}"


def to_tools(offered: OfferedTools, choice: WireToolChoice | None, parallel: bool | None) -> Selection:
    """The functions that the model may call, and whether it must. `allowed_tools` leaves only those it lists.

    Raises:
        InvalidRequest: the choice names a tool that is not there.
        UnsupportedParameter: the choice is a tool that this server does not have.
    """
    functions = Functions(offered.functions, parallel is not False)
    choice = as_choice(choice)
    if isinstance(choice, ToolChoiceAllowed):
        return _only(functions, choice, offered)
    if isinstance(choice, ToolChoiceOther):
        if choice.type == IMAGE and offered.paints:
            return functions.one(IMAGE, "tool_choice.type")
        if offered.searches and choice.type == _SEARCH:
            return functions.any("auto")
        raise _not_here("tool_choice.type", choice.type)
    if isinstance(choice, ToolChoiceFunction | ToolChoiceCustom):
        return functions.one(choice.name or "", "tool_choice.name")
    if choice == "required" and offered.searches and not offered.functions:
        choice = "auto"  # the search is the required call
    return functions.any(choice)


def as_choice(choice: WireToolChoice | None) -> Choice:
    """The choice in OpenAI's form, from those of other APIs.

    Raises:
        InvalidRequest: a function is chosen without its name.
    """
    if isinstance(choice, ToolChoiceFunction):
        name = choice.name or (choice.function.name if choice.function else None)
        if name is None:
            raise InvalidRequest("tool_choice.name: required, but missing", param="tool_choice.name")
        return ToolChoiceFunction(type="function", name=name)
    if isinstance(choice, ToolChoiceOther):
        return _WORDS.get(choice.type, choice)
    return _WORDS[choice] if isinstance(choice, str) else choice or "auto"


def to_grammar(format: TextFormat | None) -> tuple[Grammar, str] | None:
    """The form of the text and the path of the field that sets it, or None for any text."""
    if isinstance(format, TextResponseFormatJsonObject):
        return JsonObjectGrammar(), "text.format"
    if isinstance(format, TextResponseFormatJsonSchema):
        return JsonSchemaGrammar(format.schema, strict=bool(format.strict)), "text.format.schema"
    return None


def _each(tools: Sequence[WireTool]) -> Iterator[tuple[FunctionTool | CustomTool | OtherTool, str | None, str]]:
    """Every tool that the server does not use itself, with its namespace and its path."""
    for index, tool in enumerate(tools):
        if isinstance(tool, FileSearchTool):
            continue
        if isinstance(tool, NamespaceTool):
            for place, member in enumerate(_described(tool)):
                yield member, tool.name, f"tools[{index}].tools[{place}]"
        else:
            yield tool, None, f"tools[{index}]"


def _described(namespace: NamespaceTool) -> Iterator[NamespaceMember]:
    """The members. The first that the model sees describes the namespace as well, for which prompts have no place."""
    about = namespace.description
    for member in namespace.tools:
        if about and not isinstance(member, OtherTool):
            head = f"[{namespace.name}: {about}]"
            yield attrs.evolve(member, description=f"{head}\n{member.description}" if member.description else head)
            about = None
        else:
            yield member


def _unused(name: str, origin: Origin, offered: OfferedTools) -> str:
    """This name, or one like it where a tool of another namespace has it."""
    while (other := offered.origins.get(name)) is not None:
        if other.namespace == origin.namespace:
            raise InvalidRequest(f"tools: two functions have the same name: {origin.name[:64]!r}", param="tools")
        name += "_"
    return name


def _function(name: str, tool: FunctionTool) -> Tool:
    return Tool(name=name, description=tool.description, parameters=tool.parameters, strict=bool(tool.strict))


def _custom(name: str, tool: CustomTool) -> Tool:
    """The tool as a function. A grammar holds its argument; the model reads one in Lark as well."""
    held: dict[str, Any] = {"type": "string"}
    description, lark = tool.description, None
    grammar = tool.format if isinstance(tool.format, GrammarFormat) else None
    if grammar is not None and grammar.syntax == "regex":
        held["pattern"] = f"^(?:{grammar.definition})$"
    elif grammar is not None:
        lark = grammar.definition
        about = f"`{INPUT}` is text of this Lark grammar:\n{lark}"
        description = f"{description}\n{about}" if description else about
    parameters = {"type": "object", "properties": {INPUT: held}, "required": [INPUT], "additionalProperties": False}
    return Tool(name=name, description=description, parameters=parameters, strict=grammar is not None, lark=lark)


def _painting(name: str) -> Tool:
    held = {"type": "string", "minLength": 1, "description": "What the image shows, in detail."}
    parameters = {"type": "object", "properties": {PROMPT: held}, "required": [PROMPT], "additionalProperties": False}
    description = "Paint an image, which is shown to the user."
    return Tool(name=name, description=description, parameters=parameters, strict=True)


def _only(functions: Functions, choice: ToolChoiceAllowed, offered: OfferedTools) -> Selection:
    """The allowed functions. A search is a call, if one is required and no function is allowed."""
    names = _allowed(choice, offered)
    return functions.only(names, choice.mode if names else "auto")


def _allowed(choice: ToolChoiceAllowed, offered: OfferedTools) -> list[tuple[str, str]]:
    """The names of the allowed functions, with their paths. Tools that this server does not have are noted.

    Raises:
        UnsupportedParameter: it has none of the tools.
    """
    names: list[tuple[str, str]] = []
    others: list[tuple[str, str]] = []
    for index, tool in enumerate(choice.tools):
        path = f"tool_choice.tools[{index}]"
        if isinstance(tool, AllowedTool):
            names.append((tool.name, f"{path}.name"))
        elif tool.type == IMAGE and offered.paints:
            names.append((IMAGE, f"{path}.type"))
        elif tool.type != _SEARCH or not offered.searches:
            others.append((path, tool.type))
    if len(others) == len(choice.tools):
        path, type_ = others[0]
        raise _not_here(f"{path}.type", type_)
    for path, type_ in others:
        note(f"{path}.{type_}")
    return names


def _not_here(path: str, type_: str) -> UnsupportedParameter:
    return UnsupportedParameter(f"{path}: {type_[:64]!r} is not a tool of this server", param=path)
