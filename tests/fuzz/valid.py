"""Valid bodies with many fields: faults in them reach code that a body refused at its first field does not."""

from __future__ import annotations

from typing import Any

from tests.live import fuzzing

__all__ = ["VALID"]

_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "pattern": "^[A-Z]"}, "n": {"type": "integer", "minimum": 0}},
    "required": ["city"],
    "additionalProperties": False,
}
_FUNCTION = {"name": "weather", "description": "The weather", "parameters": _SCHEMA}
_CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}

_CHAT: list[dict[str, Any]] = [
    fuzzing.GOOD,
    {
        "model": "any",
        "messages": [
            {"role": "developer", "content": "Use tools."},
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "tool_calls": [_CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "Rain"}]},
        ],
        "tools": [{"type": "function", "function": _FUNCTION}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "parallel_tool_calls": False,
        "max_completion_tokens": 5,
        "n": 2,
        "logprobs": True,
        "top_logprobs": 3,
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    {
        "model": "any",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": _SCHEMA}},
        "reasoning_effort": "low",
        "max_tokens": 5,
        "prediction": {"type": "content", "content": "x"},
        "metadata": {"a": "b"},
        "user": "ada",
        "service_tier": "auto",
        "store": False,
    },
    {
        "model": "any",
        "messages": [{"role": "user", "content": "Say it."}],
        "modalities": ["text", "audio"],
        "audio": {"voice": "alloy", "format": "pcm16"},
        "stream": True,
        "max_tokens": 5,
    },
]

_RESPONSES: list[dict[str, Any]] = [
    {"model": "any", "input": "Hi", "max_output_tokens": 5, "store": True, "metadata": {"a": "b"}},
    {
        "model": "any",
        "instructions": "Be brief.",
        "previous_response_id": "resp_1",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes"}]},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "Rain"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]},
            {"type": "item_reference", "id": "msg_1"},
        ],
        "tools": [
            {"type": "function", **_FUNCTION, "strict": True},
            {"type": "custom", "name": "sql", "format": {"type": "grammar", "syntax": "regex", "definition": "a+"}},
            {"type": "file_search", "vector_store_ids": ["vs_1"], "max_num_results": 3},
        ],
        "tool_choice": "auto",
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": _SCHEMA}, "verbosity": "low"},
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
        "truncation": "auto",
        "max_output_tokens": 5,
        "stream": True,
    },
]

_MESSAGES: list[dict[str, Any]] = [
    {
        "model": "any",
        "max_tokens": 5,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm", "signature": "s"},
                    {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "Rain"}]},
                    {"type": "text", "text": "Well?"},
                ],
            },
        ],
        "tools": [{"name": "weather", "description": "The weather", "input_schema": _SCHEMA}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "stop_sequences": ["END"],
        "temperature": 0.5,
        "top_k": 5,
        "metadata": {"user_id": "ada"},
        "stream": True,
    },
    {"model": "any", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]},
]

_SPEECH: list[dict[str, Any]] = [
    {"model": "any", "input": "Hello there. <break time='1s'/> 12.5 km!", "voice": "alloy", "response_format": "wav"},
    {
        "model": "any",
        "input": "<speak>One <say-as interpret-as='date'>2024-02-29</say-as></speak>",
        "voice": {"id": "alloy"},
        "speed": 1.5,
        "stream_format": "sse",
        "response_format": "mp3",
        "instructions": "Slowly.",
    },
]

_FILES = {"file_ids": ["file-1"], "attributes": {"a": 1, "b": "x", "c": True}}
_CHUNKS = {"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50}}
_FILTER = {
    "type": "and",
    "filters": [{"type": "eq", "key": "b", "value": "x"}, {"type": "in", "key": "a", "value": [1, 2]}],
}

VALID: dict[str, list[dict[str, Any]]] = {
    "POST /v1/chat/completions": _CHAT,
    "POST /v1/completions": [
        {
            "model": "any",
            "prompt": ["Once", "Twice"],
            "max_tokens": 3,
            "n": 2,
            "logprobs": 2,
            "stream": True,
            "best_of": 2,
        },
        {"model": "any", "prompt": [1, 2, 3], "max_tokens": 3, "echo": True, "stop": "x", "seed": 1},
        {"model": "any", "prompt": "def f(", "suffix": ")", "max_tokens": 3, "logit_bias": {"5": 1}, "user": "a"},
    ],
    "POST /v1/responses": _RESPONSES,
    "POST /v1/responses/input_tokens": _RESPONSES,
    "POST /v1/messages": _MESSAGES,
    "POST /v1/messages/count_tokens": [
        {name: value for name, value in body.items() if name in ("model", "system", "messages", "tools", "tool_choice")}
        for body in _MESSAGES
    ],
    "POST /v1/audio/speech": _SPEECH,
    "POST /v1/images/generations": [
        {"model": "any", "prompt": "a cube", "size": "64x64", "n": 2, "seed": 1, "steps": 2, "output_format": "webp"},
        {"prompt": "a cube", "size": "64x96", "stream": True, "partial_images": 2, "steps": 3, "guidance": 1.5},
        {"prompt": "a cube", "size": "64x64", "response_format": "url", "quality": "hd", "negative_prompt": "text"},
    ],
    "POST /v1/embeddings": [
        {"model": "any", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 8, "user": "a"},
        {"model": "any", "input": [[1, 2], [3]], "encoding_format": "float"},
    ],
    "POST /v1/rerank": [{"model": "any", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1}],
    "POST /v1/tokenize": [
        {"model": "any", "prompt": "Hi", "add_special_tokens": True, "return_token_strs": True},
        {"model": "any", "messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": True},
    ],
    "POST /v1/detokenize": [{"model": "any", "tokens": [65, 66, 67]}],
    "POST /v1/vector_stores": [
        {"name": "s", "metadata": {"a": "b"}, "expires_after": {"anchor": "last_active_at", "days": 1}},
        {**_FILES, "chunking_strategy": _CHUNKS},
    ],
    "POST /v1/vector_stores/{vector_store_id}": [{"name": "t", "metadata": {}, "expires_after": None}],
    "POST /v1/vector_stores/{vector_store_id}/files": [
        {"file_id": "file-1", "attributes": _FILES["attributes"], "chunking_strategy": _CHUNKS}
    ],
    "POST /v1/vector_stores/{vector_store_id}/files/{file_id}": [{"attributes": _FILES["attributes"]}],
    "POST /v1/vector_stores/{vector_store_id}/file_batches": [{**_FILES, "chunking_strategy": _CHUNKS}],
    "POST /v1/vector_stores/{vector_store_id}/search": [
        {
            "query": ["rain", "snow"],
            "filters": _FILTER,
            "max_num_results": 3,
            "rewrite_query": False,
            "ranking_options": {"ranker": "auto", "score_threshold": 0.1},
        }
    ],
    "POST /v1/chat/completions/{completion_id}/heard": [{"played_ms": 100}],
    "POST /v1/responses/{response_id}/heard": [{"played_ms": 100}],
}
