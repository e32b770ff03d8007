"""Content with pictures: its text, its place in traces, and its way to an engine."""

from __future__ import annotations

from providers.chat.content import ChatContent
from providers.chat.types import ChatMessage, ChatPrompt, GenerationRequest, ImagePart, TextPart, content_text
from providers.engine_host.frames import HEADER_BYTES, Generate, decode_command, encode

PICTURE = ImagePart(2, 1, bytes(6), "ab12")
CONTENT = [TextPart("a cat:"), PICTURE, TextPart("and?")]


def test_a_pictures_digest_is_of_its_size_and_pixels() -> None:
    wide, tall = ImagePart.of(2, 1, bytes(6)), ImagePart.of(1, 2, bytes(6))

    assert len(wide.digest) == 64
    assert wide == ImagePart.of(2, 1, bytes(6))
    assert len({wide.digest, tall.digest, ImagePart.of(2, 1, b"\1" * 6).digest}) == 3


def test_the_text_of_content_has_a_line_per_part() -> None:
    assert content_text(None) == ""
    assert content_text("plain") == "plain"
    assert content_text(CONTENT) == "a cat:\nand?"
    assert content_text(CONTENT, picture="[image {width}x{height}]") == "a cat:\n[image 2x1]\nand?"


def test_a_trace_has_a_pictures_size_and_digest_and_not_its_pixels() -> None:
    result = ChatMessage("tool", CONTENT, tool_call_id="call_1")
    prompt = ChatPrompt(messages=[ChatMessage("user", CONTENT), result])

    user, tool = ChatContent(GenerationRequest(id="1", prompt=prompt)).collected().input_messages

    assert user["parts"] == [
        {"type": "text", "content": "a cat:"},
        {"type": "image", "width": 2, "height": 1, "digest": "ab12"},
        {"type": "text", "content": "and?"},
    ]
    assert tool["parts"] == [{"type": "tool_call_response", "id": "call_1", "response": "a cat:\n[image 2x1]\nand?"}]


def test_pictures_cross_the_engines_socket() -> None:
    command = Generate(GenerationRequest(id="1", prompt=ChatPrompt(messages=[ChatMessage("user", CONTENT)])))

    assert decode_command(encode(command)[HEADER_BYTES:]) == command
