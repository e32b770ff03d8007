"""docs/tracing.md and docs/observability.md promise what is recorded, and all of it."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, MutableMapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from structlog.testing import capture_logs

import otel
from otel import metric_names, names
from otel.testing import CapturedSpans, capture_metrics, capture_spans
from providers.embeddings.types import Embedded, EmbeddingRequest, Ranked, RerankRequest, Vectors
from tests.unit.otel.setup import test_metrics
from tests.unit.providers.embeddings import test_provider as embeddings
from tests.unit.providers.image import test_provider as image
from tests.unit.providers.transcription import test_provider as transcription
from tests.unit.server.api.speech import speaking
from tests.unit.server.harness import BODY, WAIT, ask, start

DOCS = Path(__file__).parents[2] / "docs"
TRACING = (DOCS / "tracing.md").read_text(encoding="utf-8")
OBSERVABILITY = (DOCS / "observability.md").read_text(encoding="utf-8")

NAME = re.compile(r"`([a-z_]+(?:\.[a-z_]+)+)`")
EVERYWHERE = {names.REQUEST_ID, names.ERROR_TYPE, names.CANCELLED}
"""Attributes of every span, documented below the table."""
Recorded = tuple[CapturedSpans, Mapping[str, Metric], list[MutableMapping[str, Any]]]
LABELS = {
    "operation": "gen_ai_operation_name",
    "provider": "gen_ai_provider_name",
    "model": "gen_ai_request_model",
    "method": "http_request_method",
    "scheme": "url_scheme",
}
"""What the table of metrics calls labels that are not in backticks."""


def rows(page: str, first: str) -> list[list[str]]:
    """The cells of the table whose first heading is this."""
    table = page[page.index(f"| {first} |") :].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def bullet(page: str, heading: str) -> str:
    return page[page.index(f"- **{heading}**") :].partition("\n- ")[0]


async def drain(source: AsyncGenerator[Any, None]) -> None:
    async with aclosing(source) as events:
        async for _ in events:
            pass


SOURCE = test_metrics.Source()


async def requests_of_every_kind() -> None:
    """What records every span, event and metric, well ended and not."""
    app = await speaking.echoing()
    sampling = {"temperature": 0.5, "top_p": 0.9, "top_k": 3, "presence_penalty": 0.1, "frequency_penalty": 0.1}
    full = {**BODY, **sampling, "max_tokens": 9, "seed": 7, "stop": ["END"], "n": 2, "user": "someone"}
    await ask(app, json={**full, "stream": True}, headers={"user-agent": "test"})
    await ask(app, json={**BODY, "logit_bias": {"no id": 1}})
    await ask(app, json={**BODY, "chat_template_kwargs": {"echo_fail_after": 0}})
    await ask(app, path="/v1/messages", json={**BODY, "max_tokens": 9, "metadata": {"user_id": "someone"}})
    await ask(app, "BREW", "/v1/models")
    slow = start(app, json={**BODY, "stream": True, "chat_template_kwargs": {"echo_prefill": WAIT}})
    while not any(reading.active for reading in otel.readings()):  # noqa: ASYNC110 - nothing reports it
        await asyncio.sleep(0)
    slow.disconnect()
    await slow.finished()
    await speaking.speak(app)
    await drain(
        embeddings.Scripted(Vectors([0], embeddings.VECTOR), Embedded(2, 9, 0.1)).embed(EmbeddingRequest("r", ["a"]))
    )
    await drain(embeddings.Scripted(Ranked(embeddings.VECTOR, True, 5, 0.1)).rerank(RerankRequest("r", "q", ["a"])))
    await drain(transcription.Scripted(transcription.said).transcribe(transcription.REQUEST))
    await drain(image.Scripted(image.painted).generate(image.REQUEST))

    with otel.start_grounding(stores=1, request_id="r").use() as grounding:
        grounding.found(found=2, used=1, tokens=9)
    with otel.start_retrieval(model="m", request_id="r", stores=["vs_1"]) as search:
        search.found(3, 0.1)
    with otel.start_media(model="m", request_id="r") as media:
        media.read(pictures=1, content_bytes=9, pixel_bytes=3)
    with otel.start_indexing(model="m", request_id="r", store="vs_1") as indexing:
        indexing.indexed(3, 1_000)
    with (routed := otel.start_server_span("POST", "/v1/chat/completions", {})).use():
        otel.note_replica(1, "prefix")
    routed.end()
    with otel.start_turn(model="m", request_id="r", session="sess_1", response="resp_1") as turn:
        turn.speech_stopped(0.0)
        turn.transcribed()
        turn.first_token()
        turn.first_audio()
        turn.ended("completed")
    with otel.start_model_load(model="lazy"), otel.start_model_unload(model="m", reason="lazy needs its memory"):
        pass
    with otel.start_load(model="lazy", request_id="r"):
        calling = otel.start_chat(model="m", request_id="r", params=otel.ChatParams())
        calling.accepted(3, 2, 1)
        calling.tool_call(0, 0, "call_1", "get_weather")
        calling.stop(("tool_calls",), 3, 3, 2, 0.1, 0.1)
    try:
        raise RuntimeError
    except RuntimeError as error:
        otel.start_chat(model="m", request_id="r", params=otel.ChatParams()).fail(error)
    test_metrics.everything(SOURCE)


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    with capture_logs() as lines, capture_spans() as spans, capture_metrics() as metrics:
        asyncio.run(requests_of_every_kind())
        families = metrics.families()
    return spans, families, lines


@pytest.fixture(scope="module")
def attributes(recorded: Recorded) -> dict[str, set[str]]:
    """All attributes of spans, by the first word of their names."""
    found: dict[str, set[str]] = defaultdict(set)
    for span in recorded[0].all():
        kind = span.name.split()[0]
        found["server" if kind.isupper() else kind] |= {*(span.attributes or {})} - EVERYWHERE
    return found


def test_every_attribute_that_is_promised_is_recorded_and_no_other(attributes: dict[str, set[str]]) -> None:
    documented = {}
    for cell, text in rows(TRACING, "span"):
        kinds = re.findall(r"`(\w+)", cell) or [cell]
        documented[tuple(kinds)] = set(NAME.findall(text))

    assert {kind for kinds in documented for kind in kinds} == set(attributes)
    for kinds, promised in documented.items():
        assert set.union(*(attributes[kind] for kind in kinds)) == promised, kinds


def test_every_event_that_is_promised_is_recorded_and_no_other(recorded: Recorded) -> None:
    events = {event.name for span in recorded[0].all() for event in span.events}
    ours = {getattr(names, name) for name in names.__all__ if name.startswith("EVENT_")}

    assert events == {*ours, "exception"}
    text = bullet(TRACING, "Events")
    assert {name for name in ours if f"`{name}`" in text} == ours
    assert "`exception` event" in bullet(TRACING, "Errors")


def test_every_name_of_ours_is_documented() -> None:
    promised = set(NAME.findall(TRACING + OBSERVABILITY))
    for module in (names, metric_names):
        ours = {value for name in module.__all__ if isinstance(value := getattr(module, name), str)}
        assert {name for name in ours if name.startswith("mlx.")} <= promised


def test_every_metric_that_is_promised_is_there_with_its_kind_and_labels(recorded: Recorded) -> None:
    families = recorded[1]
    documented = set()
    for cell, kind, text in rows(OBSERVABILITY, "metric"):
        words = re.findall(r"\w+", re.sub(r"`[^`]*`|\(.*?\)", "", text))
        labels = {*map(LABELS.__getitem__, words), *(name.replace(".", "_") for name in NAME.findall(text))}
        for name in NAME.findall(cell):
            pages = [name.replace(".", "_") + unit for unit in ("", "_seconds", "_bytes")]
            (family,) = (families[page] for page in pages if page in families)
            documented.add(family.name)
            assert kind.startswith(family.type), name
            assert {label for sample in family.samples for label in sample.labels} - {"le"} == labels, name
            for label, values in re.findall(r"`(mlx[\w.]+)`: (.*)", text):
                known = {sample.labels[label.replace(".", "_")] for sample in family.samples}
                assert known <= set(re.findall(r"`(\w+)`", values)), label
    assert documented == {name for name in families if name.startswith(("gen_ai", "http", "mlx"))}


def test_every_field_of_a_request_s_line_is_documented(recorded: Recorded) -> None:
    fields = {field for line in recorded[2] if line["event"] == "request" for field in line}
    text = TRACING[TRACING.index("## Logs") : TRACING.index("On the console")]

    # structlog calls `message` and `level` by names of its own.
    assert fields - {"event", "log_level"} <= {*re.findall(r"`(\w+)`", text), *re.findall(r'"(\w+)":', text)}
    assert {"error", "disconnected", "ignored", "audio_seconds"} <= fields
