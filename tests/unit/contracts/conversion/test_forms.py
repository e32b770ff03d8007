"""Forms: text where JSON has booleans and numbers, one value where it has a list of one."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from contracts._fields import Fraction
from contracts.conversion.converter import make_converter, make_form_converter
from contracts.conversion.validation import ValidationProblem, problems

converter = make_form_converter()


@attrs.frozen(kw_only=True)
class Form:
    warm: Fraction | None = None
    stream: bool | None = None
    names: list[str] | None = None
    name: str | None = None
    anything: Any = None


@pytest.mark.parametrize(
    ("text", "number"), [("0.5", 0.5), (".5", 0.5), ("1.", 1.0), (" 1 ", 1.0), ("1e-1", 0.1), ("+1", 1.0)]
)
def test_numbers_are_read_from_text(text: str, number: float) -> None:
    assert converter.structure({"warm": text}, Form).warm == number


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), (" 1", True), ("false", False), ("FALSE", False), ("0", False)]
)
def test_booleans_are_read_from_text(text: str, value: bool) -> None:
    assert converter.structure({"stream": text}, Form).stream is value


def test_one_value_is_a_list_of_one() -> None:
    assert converter.structure({"names": "a"}, Form).names == ["a"]
    assert converter.structure({"names": ["a", "b"]}, Form).names == ["a", "b"]


def test_text_stays_text() -> None:
    assert converter.structure({"name": "1", "anything": "true"}, Form) == Form(name="1", anything="true")


@pytest.mark.parametrize(
    ("form", "path", "message"),
    [
        ({"warm": "hot"}, "warm", "expected a number, got a string"),
        ({"warm": "2"}, "warm", "must be at most 1"),
        ({"warm": "nan"}, "warm", "expected a finite number"),
        ({"warm": "inf"}, "warm", "expected a finite number"),
        ({"warm": ["0", "1"]}, "warm", "expected a number, got an array"),
        ({"stream": "maybe"}, "stream", "expected a boolean, got a string"),
        ({"stream": "2"}, "stream", "expected a boolean, got a string"),
        ({"name": ["a", "b"]}, "name", "expected a string, got an array"),
        ({"names": [["a"]]}, "names[0]", "expected a string, got an array"),
    ],
)
def test_a_problem_has_the_path_of_its_field(form: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(Exception) as info:  # noqa: PT011  # which problems is what is asserted
        converter.structure(form, Form)
    assert list(problems(info.value)) == [ValidationProblem(path, message)]


@pytest.mark.parametrize("body", [{"warm": "0.5"}, {"stream": "true"}, {"names": "a"}])
def test_json_stays_strict(body: dict[str, Any]) -> None:
    with pytest.raises(Exception) as info:  # noqa: PT011
        make_converter().structure(body, Form)
    assert len(list(problems(info.value))) == 1
