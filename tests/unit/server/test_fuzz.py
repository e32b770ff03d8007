"""No request is answered with a 500, and the next request is served."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar

from contracts.chat.request import ChatCompletionRequest
from contracts.completions import CompletionRequest
from contracts.embeddings import EmbeddingRequest
from contracts.rerank import RerankRequest
from contracts.service.tokenize import DetokenizeRequest, TokenizeRequest
from tests.unit.server.fakes import FakeChat, FakeEmbedder
from tests.unit.server.harness import BODY, WAIT, ask, make_app

NAMES = [field.name for field in attrs.fields(ChatCompletionRequest)]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.sampled_from(["text", "user", "assistant", "system", "tool", "image_url", "none", "auto", "json_object"])
)
keys = st.sampled_from(["type", "text", "role", "content", "name", "tool_calls", "include_usage", "5"]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=5
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4))
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool"]) | values},
        optional=dict.fromkeys(("content", "name", "refusal", "tool_calls", "tool_call_id", "audio"), values),
    ),
    max_size=3,
)
bodies = st.builds(
    lambda required, others: {**others, **required},
    st.fixed_dictionaries({"model": st.just("m") | values, "messages": st.just(BODY["messages"]) | messages | values}),
    st.dictionaries(st.sampled_from(NAMES), values, max_size=4),
)


functions = st.fixed_dictionaries(
    {"type": st.sampled_from(["function", "custom"])},
    optional={
        "function": st.fixed_dictionaries(
            {"name": st.sampled_from(["f", "g", ""])}, optional={"parameters": values, "strict": values}
        )
    },
)
shaped = (
    st.lists(functions, max_size=3)
    | functions
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["json_schema", "json_object", "text", "allowed_tools"])},
        optional={
            "json_schema": st.fixed_dictionaries({"name": st.just("n"), "schema": values}),
            "allowed_tools": st.fixed_dictionaries({"mode": st.just("auto"), "tools": st.lists(functions, max_size=2)}),
        },
    )
    | st.sampled_from(["none", "auto", "required", "high", '{"type": "object"}', "a+"])
    | st.lists(st.integers(-1, 2**31) | st.lists(st.integers(0, 200), max_size=2), max_size=3)
    | st.lists(st.sampled_from(["a", ""]), max_size=3)
    | st.integers(0, 9)
    | st.booleans()
)
SHAPED_NAMES = [
    name
    for name in NAMES
    if name.startswith(("tool", "guided", "response", "reasoning", "parallel", "n", "logprobs", "top_logprobs", "max_"))
]


@pytest.fixture(scope="module")
def app() -> Litestar:
    return make_app(FakeChat(), FakeEmbedder())


async def answered(app: Litestar, content: bytes, path: str = "/v1/chat/completions") -> None:
    async with asyncio.timeout(WAIT):
        answer = await ask(app, path=path, content=content)
    assert answer.complete
    if answer.status == 200:
        return
    assert 400 <= answer.status < 500, answer.body
    assert answer.error["message"]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=bodies)
def test_no_body_is_a_500(app: Litestar, body: dict[str, Any]) -> None:
    asyncio.run(answered(app, msgspec.json.encode(body)))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(field=st.sampled_from(NAMES), value=values)
def test_no_value_of_a_single_field_is_a_500(app: Litestar, field: str, value: Any) -> None:
    asyncio.run(answered(app, msgspec.json.encode({**BODY, field: value})))


OTHERS = {
    "/v1/completions": (CompletionRequest, {"model": "m", "prompt": "a"}),
    "/v1/tokenize": (TokenizeRequest, {"prompt": "a"}),
    "/v1/detokenize": (DetokenizeRequest, {"tokens": [65]}),
    "/v1/embeddings": (EmbeddingRequest, {"model": "m", "input": "a"}),
    "/v1/rerank": (RerankRequest, {"model": "m", "query": "a", "documents": ["b"]}),
}


@pytest.mark.parametrize("path", OTHERS)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_body_of_any_other_resource_is_a_500(app: Litestar, path: str, data: st.DataObject) -> None:
    contract, good = OTHERS[path]
    names = st.sampled_from([field.name for field in attrs.fields(contract)])
    body = good | data.draw(st.dictionaries(names, shaped | values, max_size=3))
    asyncio.run(answered(app, msgspec.json.encode(body), path))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(fields=st.dictionaries(st.sampled_from(SHAPED_NAMES), shaped, min_size=1, max_size=4))
def test_no_value_that_is_almost_right_is_a_500(app: Litestar, fields: dict[str, Any]) -> None:
    asyncio.run(answered(app, msgspec.json.encode({**BODY, **fields})))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.binary(max_size=40) | st.binary(max_size=20).map(lambda junk: msgspec.json.encode(BODY) + junk))
def test_no_bytes_are_a_500(app: Litestar, content: bytes) -> None:
    asyncio.run(answered(app, content))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(content_type=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=30))
def test_no_content_type_is_a_500(app: Litestar, content_type: str) -> None:
    async def check() -> None:
        answer = await ask(app, json=BODY, headers={"content-type": content_type})
        assert answer.status in (200, 415)

    asyncio.run(check())


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_no_path_is_a_500(app: Litestar, path: str) -> None:
    async def check() -> None:
        answer = await ask(app, "GET", f"/v1/models/{path}")
        assert answer.status in (200, 404)

    asyncio.run(check())
