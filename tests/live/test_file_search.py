"""File search through the official SDK: a fact of a file, from the upload to the answer that cites it.

The echo model answers with its prompt's last turn, so its answer shows the passages and cites each of them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import (
    FileSearchToolParam,
    ParsedResponse,
    Response,
    ResponseFileSearchToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)
from openai.types.responses.response_output_text import AnnotationFileCitation

from tests.live.client import PATIENCE
from tests.live.harness import LiveServer, start

FACT = "The access code of the greenhouse is 7431."
QUESTION = "What is the access code of the greenhouse?"
DOCUMENTS = {
    "garden.md": f"# The garden\n\n{FACT}\nTomatoes are watered in the morning, and the gate is closed at six.\n",
    "kitchen.txt": "The oven takes ten minutes to heat up. Knives are sharpened on the first Monday of the month.\n",
    "office.txt": "The printer is on the second floor. Paper is in the cupboard beside it.\n",
}


@pytest.fixture(scope="module")
def echo_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[LiveServer]:
    """The echo model beside the embedded embedding model."""
    config = tmp_path_factory.mktemp("file-search") / "config.yaml"
    config.write_text("models:\n  - model_type: echo\n  - model_type: embeddings\n", encoding="utf-8")
    running = start("--config", str(config))
    yield running
    code = running.stop()
    assert code == 0, running.log.text
    assert "Traceback" not in running.log.text


@pytest.fixture(scope="module")
def echo(echo_server: LiveServer) -> Generator[OpenAI]:
    with OpenAI(base_url=echo_server.base_url, api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        yield client


@pytest.fixture(scope="module")
def store(echo: OpenAI, tmp_path_factory: pytest.TempPathFactory) -> str:
    return stored(echo, tmp_path_factory.mktemp("documents"))


def stored(client: OpenAI, folder: Path) -> str:
    """A new vector store with the documents."""
    store = client.vector_stores.create(name="documents")
    for name, text in DOCUMENTS.items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        with path.open("rb") as file:
            indexed = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=file)
        assert indexed.status == "completed", indexed.last_error
    return store.id


def tool(store: str, **fields: Any) -> FileSearchToolParam:
    return {"type": "file_search", "vector_store_ids": [store], **fields}  # type: ignore[typeddict-item]


def parts(response: Response | ParsedResponse[None]) -> tuple[ResponseFileSearchToolCall, ResponseOutputText]:
    """The search and the text of a response that has these."""
    search, message = response.output
    assert isinstance(search, ResponseFileSearchToolCall)
    assert isinstance(message, ResponseOutputMessage)
    text = message.content[0]
    assert isinstance(text, ResponseOutputText)
    return search, text


def citations(text: ResponseOutputText) -> list[AnnotationFileCitation]:
    found = [each for each in text.annotations if isinstance(each, AnnotationFileCitation)]
    assert len(found) == len(text.annotations)
    return found


def test_a_fact_of_a_file_is_in_the_results_and_in_the_prompt(echo: OpenAI, store: str) -> None:
    response = echo.responses.create(
        model="echo", input=QUESTION, tools=[tool(store, max_num_results=2)], include=["file_search_call.results"]
    )

    search, text = parts(response)
    assert search.queries == [QUESTION]
    assert search.results is not None
    assert search.results[0].filename == "garden.md"
    assert FACT in (search.results[0].text or "")
    assert text.text.startswith("Passages from files, by number:\n\n[1] garden.md\n")
    assert FACT in text.text
    assert text.text.endswith(f"\n\n{QUESTION}")
    first = citations(text)[0]
    assert (first.filename, first.file_id) == ("garden.md", search.results[0].file_id)
    assert text.text[first.index :].startswith("[1]")
    extra: Any = first
    whole = DOCUMENTS["garden.md"][extra.start : extra.end]
    assert FACT in whole
    assert response.usage is not None
    details: Any = response.usage.input_tokens_details
    assert 0 < details.context_tokens < response.usage.input_tokens


def test_streamed_events_come_in_order_and_citations_with_their_text(echo: OpenAI, store: str) -> None:
    with echo.responses.stream(model="echo", input=QUESTION, tools=[tool(store)]) as stream:
        events = [event.type for event in stream]
        response = stream.get_final_response()

    search, text = parts(response)
    assert search.results is None
    assert len(citations(text)) >= 2
    assert events[:7] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.output_item.done",
    ]
    assert events.count("response.output_text.annotation.added") == len(text.annotations)
    assert events.index("response.output_text.annotation.added") > events.index("response.output_text.delta")
    assert events[-1] == "response.completed"


def test_a_continued_conversation_keeps_the_passages_of_its_turns(echo: OpenAI, store: str) -> None:
    def counted(given: str, previous: Response | None = None) -> Response:
        options: Any = {} if previous is None else {"previous_response_id": previous.id}
        return echo.responses.create(model="echo", input=given, tools=[tool(store, max_num_results=1)], **options)

    first = counted(QUESTION)
    second = counted("When is the gate closed?", first)
    third = echo.responses.create(model="echo", input="Thanks.", previous_response_id=second.id)

    items = echo.responses.input_items.list(second.id, order="asc").data
    assert [item.type for item in items] == ["message", "file_search_call", "message", "message"]
    assert second.usage is not None
    assert third.usage is not None
    assert third.usage.input_tokens > second.usage.input_tokens, "the passages of both turns are still there"
    assert third.output_text == "Thanks."


def test_a_chat_has_its_passages_and_citations(echo: OpenAI, store: str) -> None:
    def asked(**options: Any) -> Any:
        context = {"vector_store_ids": [store], "max_results": 2}
        messages = [{"role": "user", "content": QUESTION}]
        create: Any = echo.chat.completions.create
        return create(model="echo", messages=messages, extra_body={"context": context}, **options)

    completion = asked()
    passages = completion.context["passages"]
    assert FACT in passages[0]["text"]
    assert completion.choices[0].message.annotations[0].file_citation["filename"] == "garden.md"
    chunks: Iterable[Any] = asked(stream=True)
    first, *others = chunks
    assert first.context["passages"] == passages
    assert others[-1].choices[0].delta.annotations[0]["type"] == "file_citation"


def test_the_embedded_model_answers_with_the_fact(server: LiveServer, tmp_path: Path) -> None:
    with OpenAI(base_url=server.base_url, api_key="unused", max_retries=0, timeout=PATIENCE) as client:
        store = stored(client, tmp_path)
        options: Any = {"temperature": 0, "max_output_tokens": 60}
        with_files = client.responses.create(
            model="any", input=QUESTION, tools=[tool(store, max_num_results=1)], **options
        )
        without = client.responses.create(model="any", input=QUESTION, **options)
        client.vector_stores.delete(store)

    assert "7431" in with_files.output_text
    assert "7431" not in without.output_text


def test_what_cannot_be_searched_is_refused_with_its_field(echo: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        echo.responses.create(model="echo", input=QUESTION, tools=[tool("vs_unknown")])
    assert unknown.value.param == "tools[0].vector_store_ids"
    with pytest.raises(openai.NotFoundError) as lost:
        echo.chat.completions.create(
            model="echo",
            messages=[{"role": "user", "content": QUESTION}],
            extra_body={"context": {"vector_store_ids": ["vs_unknown"]}},
        )
    assert lost.value.param == "context.vector_store_ids"
