"""An embedding provider's way through queue and trace; its events come from the test instead of a process."""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from otel import names
from otel.testing import capture_spans
from providers.embeddings.protocol import EmbeddingProvider
from providers.embeddings.provider import EngineEmbeddingProvider
from providers.embeddings.types import Embedded, EmbeddingEvent, EmbeddingRequest, Ranked, RerankRequest, Vectors
from providers.engine_host.frames import Events, Generate, decode_command, decode_report, encode
from providers.errors import ContextLengthExceeded, ServiceError
from providers.spec import ModelSpec

VECTOR = struct.pack("<2f", 0.6, 0.8)


class Scripted(EngineEmbeddingProvider):
    """Ready immediately; answers by its list, the last of which may be an error."""

    def __init__(self, *script: EmbeddingEvent | ServiceError) -> None:
        super().__init__(ModelSpec(name="m", path="", model_type="embeddings"))
        self._script = script

    def _refusal(self) -> None:
        return None

    async def _events(self, request: EmbeddingRequest | RerankRequest) -> AsyncGenerator[EmbeddingEvent, None]:
        for event in self._script:
            if isinstance(event, ServiceError):
                raise event
            yield event


async def collect(source: AsyncGenerator[EmbeddingEvent, None]) -> list[EmbeddingEvent]:
    async with aclosing(source) as events:
        return [event async for event in events]


def test_it_is_an_embedding_provider() -> None:
    assert isinstance(Scripted(), EmbeddingProvider)
    assert Scripted().card.capabilities == ("embeddings",)


async def test_an_answer_is_one_span_with_the_engines_work_inside() -> None:
    script = [Vectors([1], VECTOR), Vectors([0], VECTOR), Embedded(2, 9, 0.0)]
    provider = Scripted(*script)
    with capture_spans() as spans:
        assert await collect(provider.embed(EmbeddingRequest("req-1", ["a", "b"]))) == script
    assert spans.names() == ["queue", "encode", "embeddings m"]
    span, encode_span = spans.one("embeddings m"), spans.one("encode")
    told = dict(span.attributes or {})
    assert told[names.EMBEDDING_INPUTS] == 2
    assert told[names.GEN_AI_USAGE_INPUT_TOKENS] == 9
    assert told[names.GEN_AI_EMBEDDINGS_DIMENSION_COUNT] == 2
    assert told[names.GEN_AI_OPERATION_NAME] == "embeddings"
    assert told[names.REQUEST_ID] == "req-1"
    assert encode_span.parent is not None
    assert span.context is not None
    assert encode_span.parent.span_id == span.context.span_id
    assert provider.queue_stats.completed == 1


async def test_ranking_has_a_span_of_its_own() -> None:
    with capture_spans() as spans:
        await collect(Scripted(Ranked(VECTOR, True, 5, 0.0)).rerank(RerankRequest("r", "q", ["a", "b", "c"])))
    told = dict(spans.one("rerank m").attributes or {})
    assert told[names.EMBEDDING_INPUTS] == 3
    assert told[names.GEN_AI_USAGE_INPUT_TOKENS] == 5


async def test_a_refusal_is_the_spans_error_and_counted() -> None:
    provider = Scripted(ContextLengthExceeded("too long", param="input"))
    with capture_spans() as spans, pytest.raises(ContextLengthExceeded):
        await collect(provider.embed(EmbeddingRequest("r", ["a"])))
    assert dict(spans.one("embeddings m").attributes or {})[names.ERROR_TYPE] == "context_length_exceeded"
    assert provider.queue_stats.failed == 1


@pytest.mark.parametrize(
    "request_", [EmbeddingRequest("a", ["text", [1, 2]], "end", 8, 1.5), RerankRequest("b", "q", ["d"], "start", 2.0)]
)
def test_requests_cross_the_socket_whole(request_: EmbeddingRequest | RerankRequest) -> None:
    assert decode_command(encode(Generate(request_))[4:]) == Generate(request_)


def test_events_cross_the_socket_whole() -> None:
    events = Events([("a", Vectors([2, 0], VECTOR)), ("a", Embedded(1, 3, 0.5)), ("b", Ranked(VECTOR, False, 3, 0.5))])
    assert decode_report(encode(events)[4:]) == events
