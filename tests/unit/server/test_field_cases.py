"""Requests as clients in the field send them, and what is made of each. The numbers are those of public reports."""

from __future__ import annotations

from typing import Any

import pytest

from providers.chat.types import GenerationRequest
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import BODY, Exchange, ask, make_app

ABSENT: Any = object()
"""The value of a field to leave out of the body."""

SERVED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("31 stop of an empty text", {"stop": [""]}, {"stop": []}),
    ("31 stop empty", {"stop": ""}, {"stop": []}),
    ("31 stop []", {"stop": []}, {"stop": []}),
    ("31 stop null", {"stop": None}, {"stop": []}),
    ("31 stop with an empty text", {"stop": ["", "\n\n", None]}, {"stop": ["\n\n"]}),
    ("31 40 stops", {"stop": [str(number) for number in range(40)]}, {"stop": [str(number) for number in range(40)]}),
    ("32 a count with a point", {"max_tokens": 512.0}, {"max_tokens": 512}),
    ("32 n with a point", {"n": 1.0}, {"n": 1}),
    ("32 top_k with a point", {"top_k": 40.0}, {"sampling.top_k": 40}),
    ("32 temperature without a point", {"temperature": 0}, {"sampling.temperature": 0.0}),
    ("32 the greatest seed", {"seed": 18446744073709551615}, {"sampling.seed": 2**63 - 1}),
    ("32 a random seed", {"seed": -1}, {"sampling.seed": None}),
    ("5 more tokens than fit", {"max_tokens": 200_000}, {"max_tokens": 200_000}),
    ("5 more tokens than any model has", {"max_completion_tokens": 10**12}, {"max_tokens": 2**31 - 1}),
    ("5 no limit", {"max_tokens": -1}, {"max_tokens": None}),
    ("no model", {"model": ABSENT}, {}),
    ("a null model", {"model": None}, {}),
]
"""The fields of a chat, and what the engine is asked."""

REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("32 temperature as text", {"temperature": "0.7"}, "temperature", "expected a number, got a string"),
    ("32 max_tokens as text", {"max_tokens": "100"}, "max_tokens", "expected an integer, got a string"),
    ("0 tokens", {"max_tokens": 0}, "max_tokens", "must be at least 1; -1 and leaving it out mean no limit"),
]
"""The fields of a chat, the `param` of the 400, and words of its message."""


async def asked(fields: dict[str, Any], path: str = "/v1/chat/completions") -> tuple[Exchange, FakeChat]:
    chat = FakeChat()
    body = {name: value for name, value in {**BODY, **fields}.items() if value is not ABSENT}
    return await ask(make_app(chat), path=path, json=body), chat


def at(request: GenerationRequest, path: str) -> Any:
    """The value at `sampling.seed` or `prompt.messages.0.content`."""
    value: Any = request
    for name in path.split("."):
        value = value[int(name)] if name.isdigit() else value[name] if isinstance(value, dict) else getattr(value, name)
    return value


@pytest.mark.parametrize(("fields", "expected"), [case[1:] for case in SERVED], ids=[case[0] for case in SERVED])
async def test_what_is_unmistakable_is_served(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    answer, chat = await asked(fields)
    assert answer.status == 200, answer.body
    (request,) = chat.requests
    assert {path: at(request, path) for path in expected} == expected


@pytest.mark.parametrize(
    ("fields", "param", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
async def test_what_is_ambiguous_is_a_400_that_shows_the_right_spelling(
    fields: dict[str, Any], param: str, words: str
) -> None:
    answer, chat = await asked(fields)
    assert (answer.status, answer.error["param"]) == (400, param)
    assert words in answer.error["message"]
    assert chat.requests == []
