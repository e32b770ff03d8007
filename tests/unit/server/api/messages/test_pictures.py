"""Pictures and files of a message: where they are, and how they reach a model that reads them."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.messages.request import CountTokensRequest, MessageParam, MessagesRequest
from providers.chat.types import ChatMessage, ChatPrompt, ImagePart, TextPart
from providers.errors import InvalidRequest
from server.api.messages.request import message_attachments, to_message_generation, to_message_prompt
from server.media.attachments import Attachment, Seen, Source
from server.serialization import converter
from tests.unit.server.api.messages.asking import BODY, returned

URL = "https://example.org/sea.png"
SEA = {"type": "image", "source": {"type": "url", "url": URL}}
SKY = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
FILED = {"type": "image", "source": {"type": "file", "file_id": "file_1"}}
PDF = {
    "type": "document",
    "title": "Sea",
    "source": {"type": "base64", "media_type": "application/pdf", "data": "BBBB"},
}
PAGES = Source("data", "BBBB", kind="file", name="Sea")
SOURCES = (Source("url", URL), Source("data", "AAAA"), Source("id", "file_1"))
RED, BLUE = ImagePart.of(1, 1, b"red"), ImagePart.of(1, 1, b"blu")
SEEN: Seen = {SOURCES[0]: [RED], SOURCES[1]: [TextPart("Frame 1"), BLUE]}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def user(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [*content]}


def result(*content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "t1", "content": [*content], **fields}


def attached(*messages: dict[str, Any]) -> list[Attachment]:
    return [*message_attachments(converter.structure([*messages], list[MessageParam]))]


def turns(*messages: dict[str, Any], seen: Seen = SEEN) -> list[ChatMessage]:
    body = {**BODY, "messages": [*messages]}
    asked = to_message_generation(converter.structure(body, MessagesRequest), seen, id="req_1").prompt
    counted = to_message_prompt(converter.structure(body, CountTokensRequest), seen)
    assert asked == counted
    assert isinstance(asked, ChatPrompt)
    return asked.messages


def test_every_picture_of_a_turn_is_found_by_its_path() -> None:
    spoken = {"role": "assistant", "content": [text("No"), SEA]}
    assert attached(
        {"role": "user", "content": "Hi"}, spoken, user(text("a"), SEA, SKY), {**user(FILED), "role": "system"}
    ) == [
        Attachment("messages[2].content[1]", "source.url", SOURCES[0]),
        Attachment("messages[2].content[2]", "source.data", SOURCES[1]),
        Attachment("messages[3].content[0]", "source.file_id", SOURCES[2]),
    ]


def test_every_document_of_a_turn_that_is_a_file_is_found_by_its_path() -> None:
    written = {"type": "document", "source": {"type": "text", "data": "Salt."}}
    broken = {"type": "document", "source": {"type": "base64", "data": 5}}
    unnamed = {"type": "document", "source": FILED["source"]}
    assert attached(user(PDF, written, broken, unnamed, result(PDF))) == [
        Attachment("messages[0].content[0]", "source.data", PAGES),
        Attachment("messages[0].content[3]", "source.file_id", Source("id", "file_1", kind="file")),
        Attachment("messages[0].content[4].content[0]", "source.data", PAGES, required=False),
    ]


def test_the_pages_of_a_document_stand_behind_its_title_and_context() -> None:
    seen = {PAGES: [TextPart("Page 1"), RED]}
    about = {**PDF, "context": "A book"}
    assert turns(user(text("a"), PDF, text("b")), user(about), user(result(PDF)), seen=seen) == [
        ChatMessage("user", [TextPart("a\nSea\nPage 1"), RED, TextPart("b")]),
        ChatMessage("user", [TextPart("Sea\nA book\nPage 1"), RED]),
        ChatMessage("tool", [TextPart("Sea\nPage 1"), RED], tool_call_id="t1"),
    ]


@pytest.mark.parametrize("source", [{}, {"type": "url"}, {"type": "ftp", "url": URL}])
def test_a_picture_that_a_tool_returned_need_not_be_read(source: dict[str, Any]) -> None:
    broken = {"type": "image", "source": source}
    assert turns(user(result(broken)))[0].content == "[image]"
    plain = {"type": "tool_result", "tool_use_id": "t2", "content": "text"}
    assert attached(user(text("a"), plain, result(broken, text("b"), SKY), SEA)) == [
        Attachment("messages[0].content[2].content[2]", "source.data", SOURCES[1], required=False),
        Attachment("messages[0].content[3]", "source.url", SOURCES[0]),
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"type": "ftp", "url": URL}, "source.type: expected one of 'base64', 'url', 'file'"),
        ({}, "source.type: expected one of 'base64', 'url', 'file'"),
        ({"type": "url"}, "source.url: required, as text"),
        ({"type": "base64", "data": 5}, "source.data: required, as text"),
        ({"type": "file", "url": URL}, "source.file_id: required, as text"),
    ],
)
def test_a_source_that_is_none_is_refused_by_its_path(source: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        attached(user(text("a"), {"type": "image", "source": source}))
    path = f"messages[0].content[1].{message.partition(':')[0]}"
    assert (caught.value.message, caught.value.param) == (f"messages[0].content[1].{message}", path)


def test_pictures_stand_among_the_texts_of_a_turn() -> None:
    assert turns(user(text("a"), text("b"), SEA, text("c"), SKY), user(SEA)) == [
        ChatMessage("user", [TextPart("a\nb"), RED, TextPart("c\nFrame 1"), BLUE]),
        ChatMessage("user", [RED]),
    ]
    (turn,) = turns({**user(SEA), "role": "developer"})
    assert turn == ChatMessage("system", [RED])


def test_pictures_in_a_tool_s_result_stand_among_its_texts() -> None:
    turn = turns(*returned(text("Here:"), SEA, FILED))[-1]
    assert turn == ChatMessage("tool", [TextPart("Here:"), RED, TextPart("[image]")], name="Read", tool_call_id="t1")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([text("No such"), SEA], [TextPart("Error: No such"), RED]),
        ([SEA, text("No such")], [TextPart("Error: "), RED, TextPart("No such")]),
        ([], "Error: "),
        ([text("a"), text("b")], "Error: a\nb"),
    ],
)
def test_a_failed_tool_s_result_is_marked_before_its_pictures(content: list[dict[str, Any]], expected: Any) -> None:
    (turn,) = turns(user(result(*content, is_error=True)))
    assert turn.content == expected


def test_a_turn_of_pictures_around_a_tool_s_result() -> None:
    found = turns(user(SEA, result(text("x")), SKY))
    assert [(turn.role, turn.content) for turn in found] == [
        ("user", [RED]),
        ("tool", "x"),
        ("user", [TextPart("Frame 1"), BLUE]),
    ]
