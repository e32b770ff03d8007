"""Look-ahead at the beginning of a pattern, held without it."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat.types import JsonSchemaGrammar
from providers.engines.structured.schemas.patterns import without_look_ahead
from tests.unit.providers.engines.constrained_answers import LIMITS, TOKENIZER, answer, compile_answer

EMAIL = r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"
"""zod's."""
PASSWORD = r"^(?=.*[A-Z])(?=.*\d)(?=.*[@$!%*?&])[A-Za-z\d@$!%*?&]{4,}$"
HELD = [
    PASSWORD,
    r"^(?=.{1,3}$)[ab]*$",
    r"^(?=.{1,3}$)(?!a$)[ab]*$",
    r"^(?!a)[ab]*",
    r"^(?!a|b1|A$)(?:[ab]|A|[|]1)*$",
    r"^(?!(a|b))\w",
    r"^(?!ab)[ab]*$",
    r"^(?!ab$)[ab]*$",
    r"^(?!(?:a|ba)$)[ab]+$",
    r"^(?![ab])",
    r"^(?!$)[ab]*$",
    r"^(?!.*b)[\s\S]*$",
    r"^(?!.*ab)[\s\S]*$",
    r"^(?!.*aa)[\s\S]*$",
    r"^(?!.*[1-9])\w*$",
    r"^[ab]*\Z",
]


def follows(pattern: str, text: str) -> bool:
    compiled = compile_answer(JsonSchemaGrammar({"type": "string", "pattern": pattern}))
    assert compiled.given_up == ()
    ids = TOKENIZER.encode(json.dumps(text, ensure_ascii=False), add_special_tokens=False).ids
    matcher = compiled._start.deep_copy()
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


@pytest.mark.parametrize("text", ["a@b.de", "a.b@c.d.info", "+@x.yz"])
def test_addresses_are_held(text: str) -> None:
    assert follows(EMAIL, text)
    for wrong in (f".{text}", f"a..{text}", text.replace("@", ""), f"{text}."):
        assert not follows(EMAIL, wrong)


@LIMITS
@given(st.sampled_from(HELD), st.text(st.sampled_from("ab1A@\n"), max_size=6))
def test_a_text_matches_without_look_ahead_if_it_does_with(pattern: str, text: str) -> None:
    parts = without_look_ahead(pattern)
    assert parts is not None
    if not text.endswith("\n"):  # Python's `$` also stands before a line break at the end.
        assert follows(pattern, text) is (re.search(pattern, text) is not None)


@pytest.mark.parametrize("pattern", HELD)
def test_answers_match(pattern: str) -> None:
    compiled = compile_answer(JsonSchemaGrammar({"type": "string", "pattern": pattern, "maxLength": 8}))
    for seed in range(3):
        made = answer(compiled.processor(), seed)
        if made.ended:
            assert re.search(pattern, json.loads(made.text))


@pytest.mark.parametrize(
    "pattern",
    ["^a$", "a(?=b)", "(?=a)b", "^(?=a)b|c", "^(?!a|b*)c", "^(?!.*a.*b)c", "^(?!(?i)a)b", "^(?=a", "(?<=a)b", r"^\\Z"],
)
def test_patterns_without_such_a_form_stay_as_they_are(pattern: str) -> None:
    assert without_look_ahead(pattern) is None
