"""The outputs of tools as the turns that chat templates read."""

from __future__ import annotations

from typing import Any

import pytest

from providers.chat.types import ChatMessage
from server.noted import noting
from server.serialization import encode_contract
from tests.unit.server.api.responses.turning import call, items, made, output, turns, user


@pytest.mark.parametrize(
    ("part", "text", "noted_as"),
    [
        ({"type": "input_image", "image_url": "data:image/png;base64,AAAA"}, "[image]", ".output[].input_image"),
        ({"type": "input_file", "file_data": "AAAA"}, "[file]", ".output[].input_file"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA"}}, "[audio]", ".output[].input_audio"),
        ({"type": "image", "data": "AAAA", "mimeType": "image/png"}, "[image]", ".output.image"),
        ({"type": "image_url", "image_url": {"url": "data:,"}}, "[image]", ".output.image_url"),
    ],
)
def test_of_a_tool_s_output_the_model_reads_what_it_can(part: Any, text: str, noted_as: str) -> None:
    """Codex's `view_image` returns an image. Every later turn repeats it."""
    with noting() as noted:
        *_, answer = turns(user("x"), call("1"), output("1", [{"type": "input_text", "text": "Here:"}, part]))
    assert answer.content == f"Here:\n{text}"
    assert [*noted.names] == [f"input[]{noted_as}"]


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"type": "output_text", "text": "a"}, "a"),
        ({"type": "text", "text": "a"}, "a"),
        ("a", "a"),
        ({"type": "resource", "uri": "b"}, '{"type": "resource", "uri": "b"}'),
    ],
)
def test_an_output_may_have_parts_of_other_apis(part: Any, text: str) -> None:
    *_, answer = turns(user("x"), call("1"), output("1", [part]))
    assert answer.content == text


@pytest.mark.parametrize(("value", "text"), [(5, "5"), (True, "true"), ({"a": 1}, '{"a": 1}'), (None, "")])
def test_an_output_may_be_any_json(value: Any, text: str) -> None:
    *_, answer = turns(user("x"), call("1"), output("1", value))
    assert answer.content == text


def test_text_of_chats_is_input_text() -> None:
    (item,) = items({"role": "user", "content": [{"type": "text", "text": "a"}]})
    assert encode_contract(item).count(b'"input_text"') == 1
    assert turns({"role": "user", "content": [{"type": "text", "text": "a"}]}) == [ChatMessage("user", "a")]


def test_a_screenshot_is_no_text() -> None:
    shot = {"type": "computer_screenshot", "image_url": "data:image/png;base64,AAAA"}
    replayed = [
        {"type": "computer_call", "call_id": "1", "action": {"type": "screenshot"}},
        {"type": "computer_call_output", "call_id": "1", "output": shot},
    ]
    *_, answer = turns(user("x"), *replayed)
    assert answer.content == "[image]"


@pytest.mark.parametrize("arguments", ["", "null", None, {}, "{}"])
def test_no_arguments_are_an_empty_object(arguments: Any) -> None:
    *_, turn, _ = turns(user("x"), call("1", arguments), output("1"))
    assert turn.tool_calls == [made("1")]
