"""Values that the converter accepts, problems and their paths, and fields that it does not write."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
import pytest
from annotated_types import Ge, Le, MaxLen, MinLen
from cattrs.errors import ClassValidationError

from contracts._fields import OTHER_FIELDS
from contracts.chat.messages import (
    ChatCompletionRequestMessageContentPartImage,
    ChatCompletionRequestMessageContentPartText,
)
from contracts.chat.request import ChatCompletionRequest
from contracts.chat.response import ChatCompletionChunk, ChatCompletionChunkChoice, ChatCompletionChunkDelta
from contracts.conversion.converter import make_converter
from contracts.conversion.validation import ValidationProblem, is_validation_error, problems
from contracts.errors import Error, ErrorResponse

converter = make_converter()
BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


@attrs.frozen(kw_only=True)
class Cat:
    type: Literal["cat"]
    lives: Annotated[int, Ge(1)] = 9


@attrs.frozen(kw_only=True)
class Dog:
    type: Literal["dog", "hound"]
    name: Annotated[str, MinLen(1)]


@attrs.frozen(kw_only=True)
class Fish:
    type: Literal["fish"] = "fish"
    fins: int = 2


@attrs.frozen(kw_only=True)
class Pond:
    life: Literal["still", "lively"] | Cat | Fish | None = None


@attrs.frozen(kw_only=True)
class Home:
    pets: Annotated[list[Cat | Dog], MaxLen(3)]
    floor: float = 0.0
    open: bool = False
    sizes: dict[str, int] = attrs.field(factory=dict)
    anything: Any = None
    guest: Cat | Dog | None = None
    note: str | list[str] | None = None


def found(value: Any, type_: Any = Home) -> list[ValidationProblem]:
    with pytest.raises(Exception) as info:  # noqa: PT011  # which problems is what is asserted
        converter.structure(value, type_)
    assert is_validation_error(info.value)
    return list(problems(info.value))


@pytest.mark.parametrize("untyped", [{"fins": 3}, {"fins": 3, "type": None}])
def test_an_object_without_type_is_of_the_class_whose_type_has_a_default(untyped: dict[str, Any]) -> None:
    assert converter.structure({"life": untyped}, Pond) == Pond(life=Fish(fins=3))
    assert converter.structure({"life": {"type": "cat"}}, Pond) == Pond(life=Cat(type="cat"))
    assert found({"life": {"type": "dog"}}, Pond) == [ValidationProblem("life.type", "expected one of 'cat', 'fish'")]


@pytest.mark.parametrize("value", [5, 5.0])
def test_a_number_without_a_fraction_is_an_integer(value: float) -> None:
    lives = converter.structure({"pets": [{"type": "cat", "lives": value}]}, Home).pets[0].lives
    assert (lives, type(lives)) == (5, int)
    choice = converter.structure(value, int | str)  # type: ignore[arg-type]
    assert (choice, type(choice)) == (5, int)
    assert type(converter.structure(value, float | str)) is float  # type: ignore[arg-type]


def test_a_union_may_have_objects_of_any_other_type() -> None:
    pet: Any = Cat | dict[str, Any]
    assert converter.structure({"type": "cat"}, pet) == Cat(type="cat")
    assert converter.structure({"type": "newt", "legs": 4}, pet) == {"type": "newt", "legs": 4}
    assert found({"legs": 4}, pet) == [ValidationProblem("type", "required, but missing")]


def test_a_union_may_have_words_and_objects() -> None:
    assert converter.structure({"life": "still"}, Pond) == Pond(life="still")
    assert found({"life": "dry"}, Pond) == [ValidationProblem("life", "expected one of 'still', 'lively', got 'dry'")]
    assert found({"life": 1}, Pond)[0].path == "life"


def test_the_type_selects_the_class_of_an_object() -> None:
    home = converter.structure({"pets": [{"type": "hound", "name": "Rex"}, {"type": "cat"}]}, Home)
    assert home.pets == [Dog(type="hound", name="Rex"), Cat(type="cat")]


def test_the_json_type_selects_text_or_a_list() -> None:
    def note(value: Any) -> Any:
        return converter.structure({"pets": [], "note": value}, Home).note

    assert (note("a"), note(["a", "b"]), note(None)) == ("a", ["a", "b"], None)
    assert found({"pets": [], "note": 5}) == [
        ValidationProblem("note", "expected a string or an array, got an integer")
    ]


def test_content_is_text_or_typed_parts() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    turn = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]}
    (message,) = converter.structure({**BODY, "messages": [turn]}, ChatCompletionRequest).messages
    text, picture = message.content  # type: ignore[misc]
    assert text == ChatCompletionRequestMessageContentPartText(type="text", text="What is this?")
    assert isinstance(picture, ChatCompletionRequestMessageContentPartImage)


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ("x", None, "expected an object, got a string"),
        ([1], None, "expected an object, got an array"),
        (None, None, "expected an object, got null"),
        ({}, "pets", "required, but missing"),
        ({"pets": None}, "pets", "expected an array, got null"),
        ({"pets": "cat"}, "pets", "expected an array, got a string"),
        ({"pets": {"0": {"type": "cat"}}}, "pets", "expected an array, got an object"),
        ({"pets": [5]}, "pets[0]", "expected an object, got an integer"),
        ({"pets": [{}]}, "pets[0].type", "required, but missing"),
        ({"pets": [{"type": "cow"}]}, "pets[0].type", "expected one of 'cat', 'dog', 'hound'"),
        ({"pets": [{"type": ["cat"]}]}, "pets[0].type", "expected one of 'cat', 'dog', 'hound'"),
        ({"pets": [{"type": "cat"}, {"type": "dog"}]}, "pets[1].name", "required, but missing"),
        ({"pets": [{"type": "dog", "name": ""}]}, "pets[0].name", "must not be empty"),
        ({"pets": [{"type": "cat", "lives": 0}]}, "pets[0].lives", "must be at least 1"),
        ({"pets": [{"type": "cat", "lives": "5"}]}, "pets[0].lives", "expected an integer, got a string"),
        ({"pets": [{"type": "cat", "lives": 5.5}]}, "pets[0].lives", "expected an integer, got a number"),
        ({"pets": [{"type": "cat", "lives": True}]}, "pets[0].lives", "expected an integer, got a boolean"),
        ({"pets": [{"type": "cat", "lives": 2**64}]}, "pets[0].lives", "expected a 64-bit integer"),
        ({"pets": [{"type": "cat"}] * 4}, "pets", "must not be longer than 3"),
        ({"pets": [], "floor": "1"}, "floor", "expected a number, got a string"),
        ({"pets": [], "floor": False}, "floor", "expected a number, got a boolean"),
        ({"pets": [], "floor": float("nan")}, "floor", "expected a finite number"),
        ({"pets": [], "floor": float("inf")}, "floor", "expected a finite number"),
        ({"pets": [], "floor": 10**400}, "floor", "the number is too large"),
        ({"pets": [], "open": 1}, "open", "expected a boolean, got an integer"),
        ({"pets": [], "sizes": {"a": 1, "b": "2"}}, "sizes.b", "expected an integer, got a string"),
        ({"pets": [], "sizes": [1]}, "sizes", "expected an object, got an array"),
        ({"pets": [], "anything": {"a": [2**70]}}, "anything", "expected a 64-bit integer"),
        ({"pets": [], "anything": ["\ud800"]}, "anything", "the text has a surrogate without its other half"),
        ({"pets": [], "note": "\udc00"}, "note", "the text has a surrogate without its other half"),
        ({"pets": [], "guest": {"type": "dog"}}, "guest.name", "required, but missing"),
    ],
)
def test_a_problem_has_the_path_of_its_value(value: Any, path: str | None, message: str) -> None:
    assert found(value) == [ValidationProblem(path, message)]


def test_the_problems_of_all_fields_are_found() -> None:
    assert {problem.path for problem in found({"floor": "x", "open": "y", "note": 1})} == {
        "pets",
        "floor",
        "open",
        "note",
    }


def test_a_list_stops_at_its_first_problem() -> None:
    assert found([0] * 1_000_000, list[Cat]) == [ValidationProblem("[0]", "expected an object, got an integer")]


def test_a_list_that_is_too_long_is_refused_before_its_items_are_read() -> None:
    assert found({"pets": [0] * 1_000_000}) == [ValidationProblem("pets", "must not be longer than 3")]


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ([1, 2.5], "[1]", "expected an integer, got a number"),
        ([1, True], "[1]", "expected an integer, got a boolean"),
        ([1, -1], "[1]", "must be at least 0"),
        ([1, 10], "[1]", "must be at most 9"),
    ],
)
def test_a_wrong_number_among_many_is_found(value: list[Any], path: str, message: str) -> None:
    digits = list[Annotated[int, Ge(0), Le(9)]]
    assert converter.structure([0, 9], digits) == [0, 9]
    assert converter.structure([], digits) == []
    assert found(value, digits) == [ValidationProblem(path, message)]


def test_messages_do_not_repeat_long_values() -> None:
    (problem,) = found({**BODY, "messages": [{"role": "x" * 10_000, "content": ""}]}, ChatCompletionRequest)
    assert len(problem.message) < 300


def test_an_integer_is_accepted_as_a_number() -> None:
    assert converter.structure({"pets": [], "floor": 2}, Home).floor == 2.0
    assert isinstance(converter.structure({"pets": [], "floor": 2}, Home).floor, float)
    assert converter.structure({"pets": [], "sizes": {"a": -(2**63)}}, Home).sizes == {"a": -(2**63)}


def test_unknown_fields_are_ignored() -> None:
    assert converter.structure({"pets": [], "roof": 1}, Home) == Home(pets=[])


def test_none_is_not_written_unless_openai_writes_null() -> None:
    chunk = ChatCompletionChunk(
        id="1",
        created=2,
        model="m",
        system_fingerprint="fp",
        request_id="r",
        choices=[ChatCompletionChunkChoice(delta=ChatCompletionChunkDelta(content="x"))],
    )
    assert converter.unstructure(chunk) == {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 2,
        "model": "m",
        "system_fingerprint": "fp",
        "request_id": "r",
        "choices": [{"index": 0, "delta": {"content": "x"}, "logprobs": None, "finish_reason": None}],
    }


def test_an_error_always_has_all_four_fields() -> None:
    error = ErrorResponse(error=Error(message="m", type="t", code="c"))
    assert converter.unstructure(error) == {"error": {"message": "m", "type": "t", "param": None, "code": "c"}}


def test_a_request_is_unchanged_after_writing_and_reading() -> None:
    request = converter.structure(
        {
            **BODY,
            "stop": ["a"],
            "logit_bias": {"1": 2},
            "stream_options": {"include_usage": True},
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
        },
        ChatCompletionRequest,
    )
    assert converter.structure(converter.unstructure(request), ChatCompletionRequest) == request


def test_a_class_whose_type_is_any_text_reads_the_types_that_no_other_class_names() -> None:
    @attrs.frozen(kw_only=True)
    class Other:
        type: str
        rest: dict[str, Any] = attrs.field(factory=dict, metadata=OTHER_FIELDS)

    Other.__annotations__ |= {"type": str, "rest": dict[str, Any]}
    hook = converter.get_structure_hook(Cat | Other)
    assert isinstance(hook({"type": "cat", "name": "Tom"}, Cat | Other), Cat)
    given = {"type": "newt", "rest": 1, "legs": {"front": 2}}
    newt = hook(given, Cat | Other)
    assert newt == Other(type="newt", rest={"rest": 1, "legs": {"front": 2}})
    assert converter.unstructure(newt) == given
    with pytest.raises(ClassValidationError):
        hook({"type": 3}, Cat | Other)


def test_a_union_of_classes_without_types_of_text_is_a_programming_error() -> None:
    @attrs.frozen(kw_only=True)
    class Untagged:
        type: int

    Untagged.__annotations__["type"] = int
    with pytest.raises(TypeError, match="must be a Literal"):
        converter.get_structure_hook(Cat | Untagged)
