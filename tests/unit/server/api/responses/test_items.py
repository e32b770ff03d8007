"""Generated output on the wire: every event of every kind of item, and the items as they are returned and stored."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest

from contracts.responses.items import FileSearchCall, FileSearchResult, ImageGenerationCall
from contracts.responses.request import CreateResponse
from providers.chat.types import FinishReason, ReasoningDelta, TextDelta, TokenLogprob, ToolCallDelta
from providers.errors import InternalError
from server.api.responses.items import Delta, OutputFold
from server.api.responses.tools import offer
from server.serialization import converter
from tests.unit.server.api.responses.scripts import BODY

TOOLS = [
    {"type": "function", "name": "f"},
    {"type": "custom", "name": "say"},
    {"type": "namespace", "name": "mcp__notes", "tools": [{"name": "add"}, {"type": "custom", "name": "edit"}]},
]
PASSAGES = [
    FileSearchResult(file_id="file_1", filename="sea.txt", text="Salt.", start=0, end=5),
    FileSearchResult(file_id="file_2", filename="sky.txt", text="Blue.", start=7, end=12),
]


def fold(**options: Any) -> OutputFold:
    tools = converter.structure({**BODY, "tools": TOOLS}, CreateResponse).tools
    return OutputFold("resp_a", offer(tools), **options)


def wire(output: OutputFold, *deltas: Delta, reason: FinishReason = "stop") -> list[dict[str, Any]]:
    """All events of an output, as a client reads them. They are numbered from 0."""
    events = [event for delta in deltas for event in output.add(delta)] + output.finish(reason)
    found: list[dict[str, Any]] = [converter.unstructure(event) for event in events]
    numbers = [event.pop("sequence_number") for event in found]
    assert numbers == [*range(numbers[0], numbers[0] + len(found))]
    return found


def items(output: OutputFold) -> list[dict[str, Any]]:
    return [converter.unstructure(item) for item in output.items]


def message(text: str, status: str = "completed", *, id: str = "msg_a0000", **fields: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": [], **fields}
    return {"type": "message", "id": id, "role": "assistant", "status": status, "content": [part]}


def call(name: str, arguments: str, status: str, *, id: str = "fc_a0000", **fields: Any) -> dict[str, Any]:
    made = {"type": "function_call", "id": id, "call_id": "call_1", "name": name}
    return {**made, "arguments": arguments, "status": status, **fields}


def custom(name: str, given: str, status: str, *, id: str = "ctc_a0000", **fields: Any) -> dict[str, Any]:
    made = {"type": "custom_tool_call", "id": id, "call_id": "call_1", "name": name}
    return {**made, "input": given, "status": status, **fields}


def test_every_event_of_a_text() -> None:
    output = fold()
    here = {"item_id": "msg_a0000", "output_index": 0, "content_index": 0}
    empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    assert wire(output, TextDelta("The "), TextDelta("sea.")) == [
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**message("", "in_progress"), "content": []},
        },
        {"type": "response.content_part.added", **here, "part": empty},
        {"type": "response.output_text.delta", **here, "delta": "The ", "logprobs": []},
        {"type": "response.output_text.delta", **here, "delta": "sea.", "logprobs": []},
        {"type": "response.output_text.done", **here, "text": "The sea.", "logprobs": []},
        {"type": "response.content_part.done", **here, "part": {**empty, "text": "The sea."}},
        {"type": "response.output_item.done", "output_index": 0, "item": message("The sea.")},
    ]
    assert items(output) == [message("The sea.")]


def test_every_event_of_a_reasoning() -> None:
    output = fold(encrypt=True)
    here = {"item_id": "rs_a0000", "output_index": 0, "content_index": 0}
    part = {"type": "reasoning_text", "text": "Hm. So."}
    begun: dict[str, Any] = {
        "type": "reasoning",
        "id": "rs_a0000",
        "summary": [],
        "content": [],
        "encrypted_content": None,
        "status": "in_progress",
    }
    done = {**begun, "content": [part], "encrypted_content": "SG0uIFNvLg==", "status": "completed"}
    assert wire(output, ReasoningDelta("Hm. "), ReasoningDelta("So."))[:7] == [
        {"type": "response.output_item.added", "output_index": 0, "item": begun},
        {"type": "response.content_part.added", **here, "part": {"type": "reasoning_text", "text": ""}},
        {"type": "response.reasoning_text.delta", **here, "delta": "Hm. "},
        {"type": "response.reasoning_text.delta", **here, "delta": "So."},
        {"type": "response.reasoning_text.done", **here, "text": "Hm. So."},
        {"type": "response.content_part.done", **here, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
    ]
    assert items(output) == [done]


def test_reasoning_is_encrypted_only_where_the_client_asks_for_it() -> None:
    output = fold()
    wire(output, ReasoningDelta("Hm."))
    assert items(output)[0]["encrypted_content"] is None
    assert OutputFold("resp_a").add(ReasoningDelta("Hm."))[0].type == "response.output_item.added"


def test_every_event_of_a_function_call() -> None:
    output = fold()
    here = {"item_id": "fc_a0000", "output_index": 0}
    deltas = ToolCallDelta(0, id="call_1", name="f"), ToolCallDelta(0, '{"a": '), ToolCallDelta(0, "1}")
    assert wire(output, *deltas) == [
        {"type": "response.output_item.added", "output_index": 0, "item": call("f", "", "in_progress")},
        {"type": "response.function_call_arguments.delta", **here, "delta": '{"a": '},
        {"type": "response.function_call_arguments.delta", **here, "delta": "1}"},
        {"type": "response.function_call_arguments.done", **here, "name": "f", "arguments": '{"a": 1}'},
        {"type": "response.output_item.done", "output_index": 0, "item": call("f", '{"a": 1}', "completed")},
    ]


def test_every_event_of_a_custom_tool_s_call() -> None:
    output = fold()
    here = {"item_id": "ctc_a0000", "output_index": 0}
    assert wire(
        output, ToolCallDelta(0, id="call_1", name="say"), ToolCallDelta(0, "Hi "), ToolCallDelta(0, "you")
    ) == [
        {"type": "response.output_item.added", "output_index": 0, "item": custom("say", "", "in_progress")},
        {"type": "response.custom_tool_call_input.delta", **here, "delta": "Hi "},
        {"type": "response.custom_tool_call_input.delta", **here, "delta": "you"},
        {"type": "response.custom_tool_call_input.done", **here, "input": "Hi you"},
        {"type": "response.output_item.done", "output_index": 0, "item": custom("say", "Hi you", "completed")},
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mcp__notes__add", call("add", "x", "completed", namespace="mcp__notes")),
        ("mcp__notes__edit", custom("edit", "x", "completed", namespace="mcp__notes")),
        ("unheard_of", call("unheard_of", "x", "completed")),
    ],
)
def test_a_call_has_the_client_s_name_of_its_tool(name: str, expected: dict[str, Any]) -> None:
    output = fold()
    events = wire(output, ToolCallDelta(0, id="call_1", name=name), ToolCallDelta(0, "x"))
    assert items(output) == [expected]
    done = next(event for event in events if event["type"].endswith(".done") and "item" not in event)
    assert done.get("name", expected["name"]) == expected["name"]


def test_the_next_item_closes_the_one_before() -> None:
    output = fold()
    deltas: list[Delta] = [
        ReasoningDelta("Hm."),
        TextDelta("Now."),
        ToolCallDelta(0, id="call_1", name="f"),
        ToolCallDelta(0, "{}"),
        ToolCallDelta(1, id="call_1", name="say"),
        ToolCallDelta(1, "Hi"),
        TextDelta("Done."),
    ]
    events = wire(output, *deltas, reason="length")
    places = [
        (event["type"].split(".")[-1], event["output_index"], event["item"]["type"], event["item"]["status"])
        for event in events
        if "item" in event
    ]
    kinds = ["reasoning", "message", "function_call", "custom_tool_call", "message"]
    assert places == [
        each
        for index, kind in enumerate(kinds)
        for each in (
            ("added", index, kind, "in_progress"),
            ("done", index, kind, "completed" if index < 4 else "incomplete"),
        )
    ]
    deltas_at = [event["output_index"] for event in events if event["type"].endswith("delta")]
    assert deltas_at == [0, 1, 2, 3, 4]
    assert [event["output_index"] for event in events] == sorted(event["output_index"] for event in events)
    assert [item["id"] for item in items(output)] == ["rs_a0000", "msg_a0001", "fc_a0002", "ctc_a0003", "msg_a0004"]
    assert items(output)[1] == message("Now.", id="msg_a0001")
    assert items(output)[4] == message("Done.", "incomplete", id="msg_a0004")


@pytest.mark.parametrize(
    ("reason", "status"), [("stop", "completed"), ("tool_calls", "completed"), ("length", "incomplete")]
)
def test_an_output_without_any_delta_is_an_empty_text(reason: FinishReason, status: str) -> None:
    output = fold()
    assert output.items == []
    events = wire(output, reason=reason)
    assert [event["type"].removeprefix("response.") for event in events] == [
        "output_item.added",
        "content_part.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
    ]
    assert items(output) == [message("", status)]


def test_an_item_that_is_still_open_is_incomplete() -> None:
    output = fold()
    output.add(ReasoningDelta("Hm."))
    output.add(TextDelta("No"))
    assert [(item["type"], item["status"]) for item in items(output)] == [
        ("reasoning", "completed"),
        ("message", "incomplete"),
    ]
    assert items(output)[1] == message("No", "incomplete", id="msg_a0001")


@pytest.mark.parametrize("empty", [TextDelta(""), TextDelta("", logprobs=[]), ReasoningDelta(""), ToolCallDelta(0)])
def test_a_delta_without_content_neither_opens_nor_closes_an_item(empty: Delta) -> None:
    output = fold()
    assert output.add(empty) == []
    assert output.items == []
    output.add(TextDelta("a"))
    assert output.add(empty) == []
    output.add(TextDelta("b"))
    assert items(output) == [message("ab", "incomplete")]


@pytest.mark.parametrize(
    "delta",
    [ToolCallDelta(3, "{}"), ToolCallDelta(3, "{}", id="call_1"), ToolCallDelta(3, "{}", name="f")],
)
def test_a_call_that_never_began_is_an_error(delta: ToolCallDelta) -> None:
    output = fold()
    output.add(ToolCallDelta(0, id="call_1", name="f"))
    with pytest.raises(InternalError, match=r"^function call 3 continued without a beginning$"):
        output.add(delta)
    with pytest.raises(InternalError, match="call 3"):
        fold().add(delta)


def test_arguments_in_the_first_delta_of_a_call_are_its_beginning() -> None:
    output = fold()
    events = wire(output, ToolCallDelta(0, "{", id="call_1", name="f"), ToolCallDelta(0, "}"))
    assert [event["delta"] for event in events if event["type"].endswith("delta")] == ["{", "}"]
    assert items(output) == [call("f", "{}", "completed")]


def test_log_probabilities_have_bytes_in_items_but_not_in_events() -> None:
    output = fold()
    first = TokenLogprob("a", b"a", -0.5, [("a", b"a", -0.5), ("ä", b"\xc3\xa4", -math.inf)])
    events = wire(output, TextDelta("a", logprobs=[first]), TextDelta("", logprobs=[TokenLogprob("b", b"b", -1.0)]))
    tops = [{"token": "a", "logprob": -0.5}, {"token": "ä", "logprob": -9999.0}]
    bare = [
        {"token": "a", "logprob": -0.5, "top_logprobs": tops},
        {"token": "b", "logprob": -1.0, "top_logprobs": []},
    ]
    whole = [
        {**bare[0], "bytes": [97], "top_logprobs": [{**tops[0], "bytes": [97]}, {**tops[1], "bytes": [0xC3, 0xA4]}]},
        {**bare[1], "bytes": [98]},
    ]
    texts = [event for event in events if event["type"].startswith("response.output_text")]
    assert [event["logprobs"] for event in texts] == [bare[:1], bare[1:], bare]
    assert [event.get("delta") for event in texts] == ["a", "", None]
    assert events[-2]["part"]["logprobs"] == whole
    assert items(output) == [message("a", logprobs=whole)]


def citation(index: int, number: int) -> dict[str, Any]:
    passage = PASSAGES[number - 1]
    found = {"type": "file_citation", "index": index, "file_id": passage.file_id, "filename": passage.filename}
    return {**found, "start": passage.start, "end": passage.end}


def test_a_mark_is_a_citation_as_soon_as_it_is_complete() -> None:
    output = fold()
    assert output.searched(None, PASSAGES) == []
    events = wire(output, TextDelta("Salt [1] and "), TextDelta("blue ["), TextDelta("2]."), TextDelta(" End [9]."))
    here = {"item_id": "msg_a0000", "output_index": 0, "content_index": 0}
    added = "response.output_text.annotation.added"
    assert [event for event in events if event["type"] == added] == [
        {"type": added, **here, "annotation_index": 0, "annotation": citation(5, 1)},
        {"type": added, **here, "annotation_index": 1, "annotation": citation(18, 2)},
    ]
    assert [event["type"].split(".")[-2] for event in events[2:8]] == [
        "output_text",
        "annotation",
        "output_text",
        "output_text",
        "annotation",
        "output_text",
    ]
    annotations = [citation(5, 1), citation(18, 2)]
    assert items(output) == [message("Salt [1] and blue [2]. End [9].", annotations=annotations)]
    assert events[-2]["part"]["annotations"] == annotations


def test_marks_outside_a_text_cite_nothing() -> None:
    output = fold()
    output.searched(None, PASSAGES)
    deltas = ReasoningDelta("See [1]."), ToolCallDelta(0, id="call_1", name="f"), ToolCallDelta(0, "[1]")
    assert not [event for event in wire(output, *deltas) if "annotation" in event]
    unsearched = fold()
    assert not [event for event in wire(unsearched, TextDelta("See [1].")) if "annotation" in event]


def test_a_search_is_the_first_item() -> None:
    search = FileSearchCall(
        type="file_search_call", id="fs_1", queries=["sea"], status="completed", results=PASSAGES, found=2
    )
    output = fold()
    events = [converter.unstructure(event) for event in output.searched(search, PASSAGES)]
    done = converter.unstructure(search)
    here = {"item_id": "fs_1", "output_index": 0}
    begun = {**done, "status": "in_progress", "results": None}
    assert events == [
        {"type": "response.output_item.added", "output_index": 0, "item": begun, "sequence_number": 0},
        {"type": "response.file_search_call.in_progress", **here, "sequence_number": 1},
        {"type": "response.file_search_call.searching", **here, "sequence_number": 2},
        {"type": "response.file_search_call.completed", **here, "sequence_number": 3},
        {"type": "response.output_item.done", "output_index": 0, "item": done, "sequence_number": 4},
    ]
    text = wire(output, TextDelta("Salt [1]."))
    assert {event["output_index"] for event in text} == {1}
    assert items(output) == [done, message("Salt [1].", id="msg_a0001", annotations=[citation(5, 1)])]


def test_a_search_is_no_answer() -> None:
    output = fold()
    output.searched(FileSearchCall(type="file_search_call", id="fs_1", status="completed"), [])
    wire(output)
    assert items(output)[1:] == [message("", id="msg_a0001")]


def test_a_call_is_an_answer() -> None:
    output = fold()
    output.searched(FileSearchCall(type="file_search_call", id="fs_1", status="completed"), [])
    output.add(ToolCallDelta(0, id="call_1", name="f"))
    wire(output, reason="tool_calls")
    assert items(output)[1:] == [call("f", "", "completed", id="fc_a0001")]


def test_an_item_that_the_server_makes_has_the_next_place() -> None:
    output = fold()
    assert output.close() == ([], 0)
    output.add(TextDelta("Look."))
    events, index = output.close()
    assert [event.type.removeprefix("response.") for event in events] == [
        "output_text.done",
        "content_part.done",
        "output_item.done",
    ]
    assert (index, items(output)) == (1, [message("Look.")])
    image = ImageGenerationCall(type="image_generation_call", id="ig_a0001", status="in_progress")
    for status in ("in_progress", "completed"):
        output.put(index, attrs.evolve(image, status=status))
        assert [(item["type"], item["status"]) for item in items(output)] == [
            ("message", "completed"),
            ("image_generation_call", status),
        ]
    assert output.close() == ([], 2)
    assert output.finish("stop") == []
