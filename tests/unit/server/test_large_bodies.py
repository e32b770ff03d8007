import asyncio
import threading
from typing import Any

import msgspec
import pytest

from contracts.chat.messages import ChatCompletionRequestMessage
from providers.errors import InvalidRequest
from server import large_bodies
from server.api.chat import controller
from server.api.generation.messages import to_chat_messages
from server.dto import ContractDTO
from server.large_bodies import LARGE
from server.serialization import converter
from tests.growth import assert_linear
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import BODY, ask, make_app, start

WORDS = "word " * LARGE


def calls(count: int) -> list[dict[str, Any]]:
    """A turn with calls, and their results, without ids."""
    made = [{"function": {"name": f"f{index}", "arguments": "{}"}} for index in range(count)]
    results = [{"role": "tool", "name": f"f{index}", "content": "x"} for index in range(count)]
    return [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": made}, *results]


async def test_a_large_body_is_the_same_request_as_a_small_one() -> None:
    chat = FakeChat()
    body = {**BODY, "messages": [{"role": "user", "content": WORDS}], "seed": 3, "unknown": 1}

    answer = await ask(make_app(chat), json=body)

    assert (answer.status, answer.headers["x-ignored-parameters"]) == (200, "unknown")
    (request,) = chat.requests
    assert request.prompt.messages[0].content == WORDS  # type: ignore[union-attr]
    assert request.sampling.seed == 3


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({**BODY, "metadata": WORDS, "temperature": "hot"}, "temperature"),
        ({"messages": [{"role": "user", "content": WORDS, "tool_call_id": "c"}]}, "messages[0].tool_call_id"),
    ],
)
async def test_a_large_body_is_refused_with_the_path_of_what_is_wrong(body: dict[str, Any], param: str) -> None:
    answer = await ask(make_app(), json=body)

    assert (answer.status, answer.error["param"]) == (400, param)


async def test_a_large_body_that_is_no_json_is_a_400() -> None:
    answer = await ask(make_app(), content=b"[" + b"1," * LARGE)

    assert answer.status == 400
    assert "not valid JSON" in answer.error["message"]


async def test_parameters_without_effect_are_refused_in_large_bodies_too() -> None:
    answer = await ask(make_app(strict_parameters=True), json={**BODY, "unknown": WORDS})

    assert (answer.status, answer.error["param"]) == (400, "unknown")


@pytest.mark.parametrize(
    ("owner", "step"),
    [(large_bodies, "check_counts"), (ContractDTO, "decode_bytes"), (controller, "to_generation_request")],
)
async def test_other_requests_are_answered_while_a_large_body_is_read(
    owner: Any, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, answered = threading.Event(), threading.Event()
    function = getattr(owner, step)

    def waits(*arguments: Any, **options: Any) -> Any:
        begun.set()
        assert answered.wait(5), "on the event loop, the step keeps all others waiting"
        return function(*arguments, **options)

    monkeypatch.setattr(owner, step, waits)
    app = make_app()

    large = start(app, json={**BODY, "metadata": {"text": WORDS}})
    assert await asyncio.to_thread(begun.wait, 10)
    assert (await ask(app, "GET", "/v1/health/live")).status == 200
    answered.set()

    assert (await large.finished()).status == 200


def test_the_results_of_many_calls_take_linear_time() -> None:
    messages = {size: converter.structure(calls(size), list[ChatCompletionRequestMessage]) for size in (1_000, 8_000)}

    assert_linear(lambda size: to_chat_messages(messages[size]), 8_000)


def test_values_are_counted_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_bodies, "MAX_FIELDS", 4)
    monkeypatch.setattr(large_bodies, "MAX_VALUES", 5)
    text = r'",,,,,,[[[[[[{{{{::::\"\\\"'  # punctuation and escaped quotes

    for body in ({"a": [1, 2, 3, 4, 5]}, {"a": 1, "b": [text, text]}, [text] * 5, {text: [[text]]}, [[], [], []]):
        large_bodies.check_counts(msgspec.json.encode(body))
    for body in ([1] * 6, [text] * 6, {"a": [1, 2, 3], "b": 4, "c": [5]}):
        with pytest.raises(InvalidRequest, match="more than"):
            large_bodies.check_counts(msgspec.json.encode(body))
    for broken in (b"", b'"', b'["\\', b'"a', b"[,,,", b'{"a":"\\"'):
        large_bodies.check_counts(broken)


@pytest.mark.parametrize(
    "body",
    [
        {**BODY, **{f"k{index}": 1 for index in range(large_bodies.MAX_FIELDS)}},
        {**BODY, "metadata": [0] * (large_bodies.MAX_VALUES + 1)},
        {**BODY, "messages": [[]] * large_bodies.MAX_FIELDS},
    ],
    ids=["fields", "values", "lists"],
)
async def test_a_body_of_too_many_values_is_refused(body: dict[str, Any]) -> None:
    answer = await ask(make_app(), json=body)

    assert answer.status == 400
    assert "the body has more than" in answer.error["message"]


async def test_a_long_text_has_as_much_punctuation_as_it_likes() -> None:
    text = 'a: [b], "c", {d}\\ ' * 300_000
    chat = FakeChat()

    answer = await ask(make_app(chat), json={**BODY, "messages": [{"role": "user", "content": text}]})

    assert answer.status == 200
    assert chat.requests[0].prompt.messages[0].content == text  # type: ignore[union-attr]
