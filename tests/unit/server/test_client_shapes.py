"""Requests in the shape of the clients in docs/clients/: accepted, and nothing ignored beyond what the page names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.unit.server.api.responses.scripts import AGENT, script
from tests.unit.server.fakes import FakeChat, FakeEmbedder
from tests.unit.server.harness import ask, make_app

PAGES = Path(__file__).parents[3] / "docs" / "clients"
CHAT = "/v1/chat/completions"
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
STRICT = {**SCHEMA, "additionalProperties": False}
FUNCTION = {"type": "function", "function": {"name": "read", "description": "Read a file", "parameters": SCHEMA}}
CALL = {"id": "c1", "type": "function", "function": {"name": "read", "arguments": '{"path": "a.txt"}'}}
HELLO = {"role": "user", "content": "Hello"}
HISTORY = [
    {"role": "system", "content": "You are an agent."},
    HELLO,
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "helo"},
]
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
CODEX_TOOLS = [
    {"type": "function", "name": "exec_command", "description": "Run", "strict": False, "parameters": SCHEMA},
    {
        "type": "custom",
        "name": "apply_patch",
        "description": "Edit",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: /(.|\\n)+/"},
    },
    {
        "type": "namespace",
        "name": "mcp__notes",
        "description": "Notes",
        "tools": [{"type": "function", "name": "add", "description": "Add", "strict": False, "parameters": SCHEMA}],
    },
    {"type": "web_search", "external_web_access": False},
]
CODEX: dict[str, Any] = {
    "model": "MODEL",
    "stream": True,
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Sandbox: read only."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
    ],
    "tools": CODEX_TOOLS,
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "k1",
    "client_metadata": {"x-codex-window-id": "w1:0"},
}
CLAUDE: dict[str, Any] = {
    "model": "MODEL",
    "max_tokens": 32000,
    "stream": True,
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197; cc_entrypoint=sdk-cli;"},
        {"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}},
    ],
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    "tools": [{"name": "Read", "description": "Read a file", "input_schema": SCHEMA}],
    "metadata": {"user_id": "u"},
    "output_config": {"effort": "high"},
}
CACHED = "system[].cache_control"
DEFERRED = {"name": "DeferredToolPlaceholder", "description": "Never call", "input_schema": {}, "defer_loading": True}
MAIN = {
    "messages": [*CLAUDE["messages"], {"role": "system", "content": "# Environment"}],
    "tools": [*CLAUDE["tools"], DEFERRED],
    "thinking": {"type": "adaptive", "display": "omitted"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
}
REASONED = {"role": "assistant", "content": "Hi", "reasoning_content": "A greeting."}
HOME_FORM = {
    "type": "object",
    "properties": {"state": {"type": ["string", "null"]}},
    "required": ["state"],
    "additionalProperties": False,
    "strict": True,
}
"""Home Assistant puts `strict` into the schema itself."""
PENALTIES = {"frequency_penalty": 0.1, "presence_penalty": 0.1, "reasoning_effort": "low", "logit_bias": {"5": -10}}
SAMPLING = {"temperature": 0.7, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "seed": 1, "stop": ["END"]}


@attrs.frozen
class Shape:
    """What a client posts, and what the server then names in `X-Ignored-Parameters`."""

    page: str
    case: str
    path: str
    body: dict[str, Any]
    ignored: tuple[str, ...] = ()


SHAPES = (
    Shape(
        "codex",
        "a turn",
        "/v1/responses",
        CODEX,
        ("client_metadata", "tools[3].web_search"),
    ),
    Shape(
        "claude-code",
        "a turn",
        "/v1/messages?beta=true",
        {**CLAUDE, **MAIN},
        ("metadata", "context_management", "tools[].defer_loading", "thinking.display", CACHED),
    ),
    Shape("claude-code", "a subagent", "/v1/messages?beta=true", CLAUDE, ("metadata", CACHED)),
    Shape(
        "claude-code",
        "counting",
        "/v1/messages/count_tokens?beta=true",
        {name: CLAUDE[name] for name in ("model", "system", "messages", "tools")},
        (CACHED,),
    ),
    Shape(
        "opencode",
        "a turn",
        CHAT,
        {"model": "M", "max_tokens": 8192, "messages": HISTORY, "tools": [FUNCTION], "tool_choice": "auto", **USAGE},
    ),
    Shape("opencode", "a title", CHAT, {"model": "M", "max_tokens": 8192, "messages": [HELLO], **USAGE}),
    Shape(
        "cline",
        "a turn",
        CHAT,
        {"model": "M", "messages": HISTORY, "tools": [FUNCTION], "tool_choice": "auto", **USAGE},
    ),
    Shape(
        "cline",
        "the extension",
        CHAT,
        {
            "model": "M",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
            "max_tokens": -1,
            "temperature": 0,
            **USAGE,
        },
    ),
    Shape("aider", "a turn", CHAT, {"model": "M", "messages": HISTORY[:2], "stream": True, "temperature": 0}),
    Shape(
        "open-webui",
        "a chat",
        CHAT,
        {"model": "M", "messages": [*HISTORY, REASONED, HELLO], "tools": [FUNCTION], **USAGE, **SAMPLING, **PENALTIES},
    ),
    Shape(
        "open-webui",
        "a continued answer",
        CHAT,
        {
            "model": "M",
            "messages": [*HISTORY[:2], REASONED],
            "stream": True,
            "continue_final_message": True,
            "add_generation_prompt": False,
        },
        ("add_generation_prompt",),
    ),
    Shape(
        "open-webui",
        "a chat over responses",
        "/v1/responses",
        {
            "model": "M",
            "instructions": "You are an agent.",
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]},
                {"type": "function_call", "call_id": "c1", "name": "read", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "helo"},
            ],
            "tools": [{"type": "function", "name": "read", "parameters": SCHEMA, "strict": False}],
            "max_output_tokens": 1000,
            "temperature": 0.7,
            "stream": True,
        },
    ),
    Shape("open-webui", "a title", CHAT, {"model": "M", "messages": [HELLO], "stream": False, "max_tokens": 1000}),
    Shape("open-webui", "documents", "/v1/embeddings", {"model": "org/vectors", "input": ["one", "two"]}),
    Shape(
        "home-assistant",
        "a command",
        CHAT,
        {
            "model": "M",
            "messages": [*HISTORY[:2], {"role": "assistant", "tool_calls": [CALL]}, HISTORY[3]],
            "tools": [FUNCTION],
            "tool_choice": "auto",
            "max_tokens": 150,
            "top_p": 1,
            "temperature": 0.5,
            **USAGE,
        },
    ),
    Shape(
        "home-assistant",
        "a command of older versions",
        CHAT,
        {"model": "M", "messages": HISTORY, "tools": [FUNCTION], "max_tokens": 150, "top_p": 1, "user": "01HXYZ"},
        ("user",),
    ),
    Shape(
        "home-assistant",
        "a task with a form",
        CHAT,
        {
            "model": "M",
            "messages": HISTORY[:2],
            "max_completion_tokens": 150,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "task", "strict": True, "schema": HOME_FORM},
            },
            **USAGE,
        },
    ),
    Shape(
        "home-assistant",
        "a command over responses",
        "/v1/responses",
        {
            "model": "M",
            "input": [
                {"type": "message", "role": "developer", "content": "You are an agent."},
                {"type": "message", "role": "user", "content": "Hello"},
                {"type": "function_call", "name": "read", "arguments": "{}", "call_id": "c1"},
                {"type": "function_call_output", "call_id": "c1", "output": '{"a": 1}'},
            ],
            "tools": [{"type": "function", "name": "read", "parameters": SCHEMA, "description": "R", "strict": False}],
            "text": {"format": {"type": "json_schema", "name": "task", "schema": HOME_FORM}},
            "max_output_tokens": 3000,
            "top_p": 1.0,
            "temperature": 1.0,
            "user": "01HXYZ",
            "store": False,
            "stream": True,
        },
        ("user",),
    ),
    Shape(
        "langchain",
        "a turn",
        CHAT,
        {"model": "M", "messages": HISTORY, "tools": [FUNCTION], "tool_choice": "required", **USAGE},
    ),
    Shape(
        "langchain",
        "embeddings",
        "/v1/embeddings",
        {"model": "org/vectors", "input": ["one", "two"], "encoding_format": "base64"},
    ),
    Shape(
        "llamaindex",
        "a turn",
        CHAT,
        {
            "model": "M",
            "messages": HISTORY,
            "stream": False,
            "temperature": 0.1,
            "tools": [{**FUNCTION, "function": {**FUNCTION["function"], "strict": False}}],  # type: ignore[dict-item]
            "tool_choice": "auto",
            "parallel_tool_calls": False,
        },
    ),
    Shape("llamaindex", "embeddings", "/v1/embeddings", {"model": "org/vectors", "input": ["one"]}),
    Shape(
        "ai-sdk",
        "an object",
        CHAT,
        {
            "model": "M",
            "messages": [HELLO],
            "max_tokens": 64,
            "temperature": 0,
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "schema": {**SCHEMA, "additionalProperties": False},
                    "strict": True,
                    "name": "response",
                },
            },
            **USAGE,
        },
    ),
    Shape(
        "ai-sdk", "embeddings", "/v1/embeddings", {"model": "org/vectors", "input": ["a"], "encoding_format": "float"}
    ),
)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.page}: {shape.case}")
async def test_a_client_s_request_is_accepted(shape: Shape) -> None:
    chat = FakeChat(script=script(*AGENT)) if shape.path == "/v1/responses" else FakeChat()
    answer = await ask(make_app(chat, FakeEmbedder()), path=shape.path, json=shape.body)

    assert answer.status == 200, answer.body
    ignored = answer.headers.get("x-ignored-parameters", "")
    assert {*filter(None, ignored.split(", "))} == {*shape.ignored}


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_names_what_is_ignored(page: Path) -> None:
    shapes = [shape for shape in SHAPES if shape.page == page.stem]
    assert shapes
    text = page.read_text(encoding="utf-8")
    names = {name.rpartition("].")[2] for shape in shapes for name in shape.ignored}
    assert [name for name in names if f"`{name}`" not in text] == []
    assert ("No parameter that it sends by default is ignored." in text) == (not names)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/responses/input_tokens",
        "/v1/messages",
        "/v1/tokenize",
        "/v1/vector_stores",
        "/v1/vector_stores/vs_1",
        "/v1/vector_stores/vs_1/files",
        "/v1/vector_stores/vs_1/file_batches",
    ],
)
async def test_an_empty_array_for_the_whole_body_is_an_empty_object(path: str) -> None:
    app = make_app(FakeChat())
    empty, array = await ask(app, path=path, content=b"{}"), await ask(app, path=path, content=b"[]")
    assert array.status == empty.status < 500
    assert {**array.json, "request_id": ""} == {**empty.json, "request_id": ""}
