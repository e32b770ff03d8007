"""A Messages request, from the wire to the domain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import attrs

from contracts.messages.blocks import (
    DocumentBlock,
    ImageBlock,
    InputBlock,
    OtherBlock,
    RedactedThinkingBlock,
    SearchResultBlock,
    TextBlock,
    ThinkingBlock,
    ToolReferenceBlock,
    ToolResultBlock,
    ToolResultContent,
    ToolUseBlock,
)
from contracts.messages.request import CountTokensRequest, MessageParam, MessagesRequest, OutputFormat
from providers.chat.types import (
    ChatMessage,
    ChatPrompt,
    GenerationRequest,
    JsonSchemaGrammar,
    Tool,
)
from providers.errors import InvalidRequest, UnsupportedParameter
from server.api.generation.messages import call_arguments
from server.api.generation.parts.content import joined
from server.api.generation.sampling import to_max_tokens, to_sampling, to_stop
from server.api.generation.thinking import given_effort, to_budget
from server.api.generation.tools import Functions, Selection
from server.api.generation.unread import placeholder
from server.api.refusals import check_deeply
from server.cache_scope import cache_salt
from server.media.attachments import Attachment, Part, Seen, Source
from server.noted import note

__all__ = [
    "SOURCES",
    "block_source",
    "message_attachments",
    "to_attachment",
    "to_message_generation",
    "to_message_prompt",
]

Conversation = MessagesRequest | CountTokensRequest

_RETURNED = "messages[].content[].content[]."
"""The path of a tool result's blocks, for notes."""


SOURCES: Mapping[str, tuple[str, Literal["data", "url", "id"]]] = {
    "base64": ("data", "data"),
    "url": ("url", "url"),
    "file": ("file_id", "id"),
}
"""The field of each type of a source with an image or a file, and what it holds."""
_NOTHING: Seen = MappingProxyType({})


def to_message_generation(request: MessagesRequest, seen: Seen = _NOTHING, *, id: str) -> GenerationRequest:
    """Translate a request. The contract has checked each of its values. `seen`: what `message_attachments` names, as
    the model reads it.

    Raises:
        InvalidRequest: values contradict each other, or a `logit_bias` key is not a token id.
        UnsupportedParameter: a turn holds content that the model cannot read.
    """
    prompt = to_message_prompt(request, seen)
    form = _format(request)
    return GenerationRequest(
        id=id,
        prompt=prompt,
        sampling=to_sampling(request),
        max_tokens=to_max_tokens(request.max_tokens),
        stop=to_stop([*(request.stop_sequences or []), *to_stop(request.stop)]),
        timeout=request.timeout,
        grammar=_grammar(form) if prompt.tool_choice.mode != "required" else None,
        grammar_param="output_format.schema",
        max_reasoning_tokens=to_budget(request.thinking.budget_tokens if request.thinking else None),
        stream=bool(request.stream),
        cache_salt=cache_salt(request.cache_salt),
    )


def _grammar(form: OutputFormat | None) -> JsonSchemaGrammar | None:
    return None if form is None else JsonSchemaGrammar(form.schema, strict=False)


def message_attachments(messages: Sequence[MessageParam]) -> Iterator[Attachment]:
    """The pictures and files of the turns. Those of tools' results are not required.

    Raises:
        InvalidRequest: the source of one is not that of a picture.
    """
    for index, message in enumerate(messages):
        if message.role == "assistant" or isinstance(message.content, str):
            continue
        for place, block in enumerate(message.content):
            path = f"messages[{index}].content[{place}]"
            if isinstance(block, ImageBlock) or (isinstance(block, DocumentBlock) and block_source(block) is not None):
                yield to_attachment(block, path)
            elif isinstance(block, ToolResultBlock) and isinstance(block.content, list):
                for number, part in enumerate(block.content):
                    if isinstance(part, ImageBlock | DocumentBlock) and block_source(part) is not None:
                        yield attrs.evolve(to_attachment(part, f"{path}.content[{number}]"), required=False)


def to_attachment(block: ImageBlock | DocumentBlock, path: str) -> Attachment:
    """The source of an image or a file.

    Raises:
        InvalidRequest: it has none that the server reads.
    """
    field, by = SOURCES.get(str(block.source.get("type")), ("", None))
    if by is None:
        raise InvalidRequest(
            f"{path}.source.type: expected one of {', '.join(map(repr, SOURCES))}", param=f"{path}.source.type"
        )
    source = block_source(block)
    if source is None:
        raise InvalidRequest(f"{path}.source.{field}: required, as text", param=f"{path}.source.{field}")
    return Attachment(path, f"source.{field}", source)


def block_source(block: object) -> Source | None:
    """Where a block's picture is, or its file. None: it is none, or has no source."""
    if not isinstance(block, ImageBlock | DocumentBlock):
        return None
    field, by = SOURCES.get(str(block.source.get("type")), ("", None))
    value = block.source.get(field)
    if by is None or not isinstance(value, str):
        return None
    if isinstance(block, ImageBlock):
        return Source(by, value)
    return Source(by, value, kind="file", name=block.title)


def to_message_prompt(request: Conversation, seen: Seen = _NOTHING) -> ChatPrompt:
    """The prompt of the model. Raises as `to_message_generation`."""
    check_deeply(request)
    tools, choice = _tools(request)
    turns = list(_turns(request.messages, seen))
    last = turns[-1] if turns else None
    return ChatPrompt(
        messages=[*_system(request.system), *turns],
        template_kwargs=_thinking(request),
        tools=tools,
        tool_choice=choice,
        continue_final=last is not None and last.role == "assistant" and bool(last.content) and not last.tool_calls,
    )


def _format(request: Conversation) -> OutputFormat | None:
    if request.output_config is not None and request.output_config.format is not None:
        return request.output_config.format
    return request.output_format


def _thinking(request: Conversation) -> dict[str, Any]:
    """Anthropic's default is no reasoning."""
    kwargs: dict[str, Any] = {
        "enable_thinking": request.thinking is not None and request.thinking.type != "disabled",
    }
    effort = given_effort(request.output_config.effort if request.output_config else None)
    if effort is not None:
        kwargs["reasoning_effort"] = effort
    return kwargs


def _system(system: str | list[TextBlock] | None) -> list[ChatMessage]:
    text = system if isinstance(system, str) else "\n\n".join(block.text for block in system or [])
    return [ChatMessage("system", text)] if text else []


def _turns(messages: Sequence[MessageParam], seen: Seen) -> Iterator[ChatMessage]:
    names: dict[str, str] = {}
    for index, message in enumerate(messages):
        path = f"messages[{index}].content"
        blocks = [TextBlock(text=message.content)] if isinstance(message.content, str) else message.content
        if message.role == "assistant":
            yield _assistant(blocks, path)
            names |= {block.id: block.name for block in blocks if isinstance(block, ToolUseBlock)}
        else:
            role = "user" if message.role == "user" else "system"
            yield from _user(role, blocks, names, seen, path)


def _assistant(blocks: Sequence[InputBlock], path: str) -> ChatMessage:
    texts, thoughts, calls = [], [], []
    for index, block in enumerate(blocks):
        if isinstance(block, TextBlock):
            texts.append(block.text)
        elif isinstance(block, ThinkingBlock):
            thoughts.append(block.thinking)
        elif isinstance(block, ToolUseBlock):
            calls.append(_call(block))
        elif isinstance(block, OtherBlock):
            _skip(block)
        elif not isinstance(block, RedactedThinkingBlock):
            _refuse_type(block.type, "a turn of the assistant", f"{path}[{index}].type")
    return ChatMessage(
        "assistant",
        "\n".join(texts) if texts or not calls else None,
        tool_calls=calls or None,
        reasoning_content="\n".join(filter(None, thoughts)) or None,
    )


def _call(block: ToolUseBlock) -> dict[str, Any]:
    arguments = call_arguments(block.input) if isinstance(block.input, str) else block.input or {}
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}}


def _user(
    role: str, blocks: Sequence[InputBlock], names: Mapping[str, str], seen: Seen, path: str
) -> Iterator[ChatMessage]:
    """A user's turn. A tool's result is a turn of its own to a chat template."""
    parts: list[str | Part] = []
    for index, block in enumerate(blocks):
        here = f"{path}[{index}]"
        if isinstance(block, ToolResultBlock):
            if parts:
                yield ChatMessage(role, joined(parts))
                parts = []
            yield _result(block, names, seen, here)
        elif isinstance(block, (TextBlock, ImageBlock, DocumentBlock, SearchResultBlock, OtherBlock)):
            parts += _seen(block, seen) or _text(block, here)
        else:
            _refuse_type(block.type, f"a turn of the {role}", f"{here}.type")
    if parts or not blocks:
        yield ChatMessage(role, joined(parts))


def _seen(block: object, seen: Seen) -> Sequence[str | Part]:
    source = block_source(block)
    found = () if source is None else seen.get(source, ())
    if found and isinstance(block, DocumentBlock):
        return [*filter(None, (block.title, block.context)), *found]
    return found


def _result(block: ToolResultBlock, names: Mapping[str, str], seen: Seen, path: str) -> ChatMessage:
    parts: list[str | Part] = []
    if isinstance(block.content, str):
        parts.append(block.content)
    else:
        for index, part in enumerate(block.content or []):
            parts += _seen(part, seen) or _returned(part, f"{path}.content[{index}]")
    if block.is_error:  # chat templates have no field for it
        first = parts.pop(0) if parts and isinstance(parts[0], str) else ""
        parts.insert(0, f"Error: {first}")
    id = block.tool_use_id or ""
    return ChatMessage("tool", joined(parts), name=names.get(id), tool_call_id=id)


def _returned(block: ToolResultContent, path: str) -> list[str]:
    """The texts of what a tool returned."""
    if isinstance(block, ImageBlock):
        return [placeholder("image", _RETURNED + block.type)]
    if isinstance(block, DocumentBlock) and _document(block.source) is None:
        return [*filter(None, (block.title, block.context)), placeholder("file", _RETURNED + block.type)]
    return _text(block, path)


def _text(block: ToolResultContent, path: str) -> list[str]:
    if isinstance(block, TextBlock):
        return [block.text]
    if isinstance(block, ToolReferenceBlock):
        return [block.tool_name]
    if isinstance(block, SearchResultBlock):
        return [block.title, block.source, *(part.text for part in block.content)]
    if isinstance(block, OtherBlock):
        _skip(block)
        return []
    if isinstance(block, DocumentBlock) and (text := _document(block.source)) is not None:
        return [*filter(None, (block.title, block.context)), text]
    raise UnsupportedParameter(
        f"{path}: content of type {block.type!r} is not supported by this model; send text", param=f"{path}.type"
    )


def _document(source: Mapping[str, Any]) -> str | None:
    """The text of a document whose source is text."""
    content = source.get("data") if source.get("type") == "text" else source.get("content")
    if isinstance(content, list):
        content = "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else None


def _tools(request: Conversation) -> Selection:
    by_name: dict[str, Tool] = {}
    for index, tool in enumerate(request.tools or []):
        if tool.input_schema is None and tool.type not in (None, "custom"):
            note(f"tools[{index}].{tool.type}")
            continue
        path = f"tools[{index}].name"
        if tool.name is None:
            raise InvalidRequest(f"{path}: required, but missing", param=path)
        made = Tool(
            name=tool.name, description=tool.description, parameters=tool.input_schema, strict=bool(tool.strict)
        )
        if by_name.get(tool.name, made) != made:
            raise InvalidRequest(f"{path}: there is another tool of this name", param=path)
        by_name[tool.name] = made
    choice = request.tool_choice
    functions = Functions(by_name, choice is None or not choice.disable_parallel_tool_use)
    if choice is None:
        return functions.any("auto")
    if choice.type == "tool" and by_name:
        return functions.one(choice.name or "", "tool_choice.name")
    if choice.type == "any" or choice.type == "tool":
        return functions.any("required")
    return functions.any(choice.type)


def _skip(block: OtherBlock) -> None:
    note(f"messages[].content[].{block.type}")


def _refuse_type(type_: str, where: str, path: str) -> None:
    raise InvalidRequest(f"{path}: {where} has no content of type {type_!r}", param=path)
