"""No field is silently ignored: each of every endpoint is sent, and its contract's statement about it holds."""

from __future__ import annotations

import functools
import re
from typing import Any, get_args

import attrs
import msgspec
import pytest
from litestar import Litestar

from contracts.chat.request import ChatCompletionRequest
from contracts.completions import CompletionRequest
from contracts.embeddings import EmbeddingRequest
from contracts.messages.request import CountTokensRequest, MessagesRequest
from contracts.parameters import Status, parameters
from contracts.rerank import RerankRequest
from contracts.responses.request import CreateResponse, TokenCountRequest
from contracts.service.tokenize import DetokenizeRequest, TokenizeRequest
from tests.unit.server.fakes import FakeChat, FakeEmbedder
from tests.unit.server.harness import Exchange, ask, make_app

TURNS = [{"role": "user", "content": "Hi"}]
FUNCTION = {"name": "f", "parameters": {"type": "object"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}

ENDPOINTS: dict[type[attrs.AttrsInstance], tuple[str, dict[str, Any]]] = {
    ChatCompletionRequest: ("/v1/chat/completions", {"messages": TURNS}),
    CompletionRequest: ("/v1/completions", {"prompt": "Hi"}),
    CountTokensRequest: ("/v1/messages/count_tokens", {"messages": TURNS}),
    CreateResponse: ("/v1/responses", {"model": "any", "input": "Hi"}),
    DetokenizeRequest: ("/v1/detokenize", {"tokens": [72, 105]}),
    EmbeddingRequest: ("/v1/embeddings", {"model": "any", "input": "Hi"}),
    MessagesRequest: ("/v1/messages", {"messages": TURNS}),
    RerankRequest: ("/v1/rerank", {"model": "any", "query": "q", "documents": ["a", "bb"]}),
    TokenCountRequest: ("/v1/responses/input_tokens", {"model": "any", "input": "Hi"}),
    TokenizeRequest: ("/v1/tokenize", {"messages": TURNS}),
}
"""By contract: the path that reads it, and the body to which a field is added."""

VALUES: dict[str, Any] = {
    "add_generation_prompt": False,
    "add_special_tokens": False,
    "best_of": 2,
    "cache_control": {"type": "ephemeral"},
    "chat_template_kwargs": {"x": 1},
    "container": "c",
    "context_management": {"edits": []},
    "continue_final_message": True,
    "dimensions": 1,
    "documents": ["other"],
    "echo": True,
    "enable_thinking": True,
    "encoding_format": "base64",
    "frequency_penalty": 1,
    "function_call": "none",
    "functions": [FUNCTION],
    "grammar": "start: /a/",
    "guided_choice": ["a"],
    "guided_grammar": "start: /a/",
    "guided_json": SCHEMA,
    "guided_regex": "a",
    "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
    "inference_geo": "eu",
    "input": "other",
    "instructions": "Be brief.",
    "json_schema": SCHEMA,
    "logit_bias": {"5": 1},
    "logprobs": True,
    "max_completion_tokens": 3,
    "max_output_tokens": 3,
    "max_reasoning_tokens": 3,
    "max_tokens": 3,
    "mcp_servers": [{"type": "url"}],
    "messages": [*TURNS, {"role": "user", "content": "other"}],
    "metadata": {"a": "b"},
    "min_p": 0.5,
    "model": "org/fake",
    "n": 2,
    "output_config": {"effort": "low"},
    "output_format": {"type": "json_schema", "schema": SCHEMA},
    "parallel_tool_calls": False,
    "personality": "friendly",
    "prefill_only": True,
    "presence_penalty": 1,
    "prompt": "other",
    "query": "other",
    "reasoning": {"effort": "low"},
    "reasoning_effort": "low",
    "repeat_penalty": 1.5,
    "repetition_context_size": 5,
    "repetition_penalty": 1.5,
    "response_format": {"type": "json_object"},
    "return_documents": True,
    "return_token_strs": True,
    "seed": 5,
    "service_tier": "priority",
    "stop": "x",
    "stop_sequences": ["x"],
    "store": False,
    "stream": True,
    "suffix": "x",
    "system": "Be brief.",
    "temperature": 0.5,
    "text": {"format": {"type": "json_object"}},
    "think": True,
    "thinking": {"type": "enabled", "budget_tokens": 9},
    "timeout": 5,
    "tokens": [33],
    "tool_choice": {"type": "none"},
    "tools": [{"type": "function", **FUNCTION}],
    "top_k": 5,
    "top_n": 1,
    "top_p": 0.5,
    "truncate": "end",
    "user": "label",
    "xtc_probability": 0.5,
    "xtc_threshold": 0.4,
}
"""A value of each field, which is not its default."""

OWN: dict[tuple[type[attrs.AttrsInstance], str], dict[str, Any]] = {
    (ChatCompletionRequest, "continue_final_message"): {
        "messages": [*TURNS, {"role": "assistant", "content": "x"}],
        "continue_final_message": True,
    },
    (ChatCompletionRequest, "top_logprobs"): {"logprobs": True, "top_logprobs": 3},
    (CompletionRequest, "logprobs"): {"logprobs": 2},
    (ChatCompletionRequest, "store"): {"store": True},
    (CountTokensRequest, "tools"): {"tools": [{"name": "f", "input_schema": {}}]},
    (CreateResponse, "top_logprobs"): {"top_logprobs": 3},
    (MessagesRequest, "tools"): {"tools": [{"name": "f", "input_schema": {}}]},
    (TokenizeRequest, "prompt"): {"prompt": "other", "messages": None},
    (TokenizeRequest, "add_special_tokens"): {"add_special_tokens": False, "prompt": "x", "messages": None},
}
"""Fields whose value, or the rest of the body, is another one there."""

ELSEWHERE: dict[type[attrs.AttrsInstance], set[str]] = {
    ChatCompletionRequest: {
        *("context", "function_call", "model", "stream_options"),
        *("audio", "audio_input", "heard", "max_spoken_seconds", "modalities"),  # of recordings and of spoken answers
    },
    CompletionRequest: {"model", "stream_options"},
    CountTokensRequest: {"model", "output_format"},
    CreateResponse: {
        *("model", "previous_response_id", "store", "stream_options"),
        *("audio", "audio_input", "heard", "max_spoken_seconds", "modalities"),  # of recordings and of spoken responses
        "output_modalities",
    },
    DetokenizeRequest: {"model"},
    EmbeddingRequest: {"model"},
    MessagesRequest: {"model"},
    RerankRequest: {"model"},
    TokenCountRequest: {"audio_input", "model", "previous_response_id", "text"},
    TokenizeRequest: {"model"},
}
"""Honoured fields whose effect depends on more than one request, or on the model, and that have tests of their own."""

_IDS = re.compile(rb'"(id|request_id|item_id|signature|created|created_at|completed_at)":("[^"]*"|\d+)')


def cases(*statuses: Status) -> list[Any]:
    return [
        pytest.param(contract, name, id=f"{contract.__name__}.{name}")
        for contract in ENDPOINTS
        for name, parameter in parameters(contract).items()
        if parameter.status in statuses and not (parameter.status == "honoured" and name in ELSEWHERE[contract])
    ]


def added(contract: type[attrs.AttrsInstance], name: str) -> dict[str, Any]:
    return OWN.get((contract, name)) or {name: VALUES.get(name, "label")}


async def sent(contract: type[attrs.AttrsInstance], fields: dict[str, Any]) -> tuple[Exchange, list[Any]]:
    """The exchange, and what reached the model."""
    path, body = ENDPOINTS[contract]
    app, model = served(contract in (EmbeddingRequest, RerankRequest))
    tokenized: list[Any] = model.tokenized if isinstance(model, FakeChat) else []
    model.requests.clear()
    tokenized.clear()
    exchange = await ask(app, path=path, json={**body, **fields})
    return exchange, [*(msgspec.structs.replace(request, id="") for request in model.requests), *tokenized]


@functools.cache
def served(embeds: bool) -> tuple[Litestar, FakeChat | FakeEmbedder]:
    """An application, which takes longer to make than to ask, and its model."""
    model = FakeEmbedder() if embeds else FakeChat()
    return make_app(model), model


def test_every_endpoint_with_a_json_body_is_walked() -> None:
    found = set()
    for route in make_app().routes:
        for handler in getattr(route, "route_handlers", ()):
            annotation = handler.parsed_fn_signature.parameters.get("data")
            if annotation is not None:
                types = (annotation.annotation, *get_args(annotation.annotation))  # a body may be left out
                found.add(next(each for each in types if attrs.has(each)))
    with_tests_of_their_own = {
        *("CreateBetaSessionRequest", "CreateClientSecretRequest", "CreateSpeechRequest", "HeardRequest"),
        *("CreateImageRequest", "CreateImageEditRequest"),
        *("LoadModelRequest", "PinModelRequest", "PullModelRequest"),
        *("CreateTranscriptionRequest", "CreateTranslationRequest"),
        *("CreateFileRequest", "CreateVectorStoreRequest", "UpdateVectorStoreRequest", "VectorStoreSearchRequest"),
        *("CreateVectorStoreFileRequest", "CreateVectorStoreFileBatchRequest", "UpdateVectorStoreFileRequest"),
    }
    assert {contract.__name__ for contract in found - ENDPOINTS.keys()} <= with_tests_of_their_own


@pytest.mark.parametrize(("contract", "name"), cases("honoured"))
async def test_an_honoured_field_has_an_effect(contract: type[attrs.AttrsInstance], name: str) -> None:
    fields = added(contract, name)
    exchange, reached = await sent(contract, fields)
    plain, expected = await sent(contract, {key: value for key, value in fields.items() if key != name})
    assert exchange.status == 200, exchange.body
    assert "x-ignored-parameters" not in exchange.headers
    assert (reached, _IDS.sub(b"", exchange.body)) != (expected, _IDS.sub(b"", plain.body))


@pytest.mark.parametrize(("contract", "name"), cases("noted"))
async def test_a_noted_field_is_named_and_changes_nothing(contract: type[attrs.AttrsInstance], name: str) -> None:
    exchange, reached = await sent(contract, added(contract, name))
    _, expected = await sent(contract, {})
    assert (exchange.status, exchange.headers.get("x-ignored-parameters")) == (200, name), exchange.body
    assert reached == expected


@pytest.mark.parametrize(("contract", "name"), cases("refused"))
async def test_a_refused_field_is_named(contract: type[attrs.AttrsInstance], name: str) -> None:
    exchange, reached = await sent(contract, added(contract, name))
    assert exchange.status == 400
    assert exchange.json["error"]["param"] == name
    assert reached == []


@pytest.mark.parametrize("contract", ENDPOINTS)
async def test_an_unknown_field_is_named_and_changes_nothing(contract: type[attrs.AttrsInstance]) -> None:
    exchange, reached = await sent(contract, {"telepathy": {"a": [1]}})
    _, expected = await sent(contract, {})
    assert (exchange.status, exchange.headers["x-ignored-parameters"]) == (200, "telepathy")
    assert reached == expected
