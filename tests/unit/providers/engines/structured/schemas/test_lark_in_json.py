"""Lark grammars of a text, held while the text is written inside of JSON."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat.types import ChatPrompt, Tool, ToolChoice
from providers.engines.structured.compiler import CompiledGrammar
from providers.engines.structured.constraint import ToolMarkup
from providers.engines.structured.schemas.lark_in_json import NotConvertible, object_of_text
from tests.unit.providers.engines.constrained_answers import COMPILER, LIMITS, TOKENIZER, answer, compile_calls

PATCH = """
start: begin_patch hunk+ end_patch
begin_patch: "*** Begin Patch" LF
end_patch: "*** End Patch" LF?
hunk: add_hunk | delete_hunk | update_hunk
add_hunk: "*** Add File: " filename LF add_line+
delete_hunk: "*** Delete File: " filename LF
update_hunk: "*** Update File: " filename LF change_move? change?
filename: /(.+)/
add_line: "+" /(.*)/ LF -> line
change_move: "*** Move to: " filename LF
change: (change_context | change_line)+ eof_line?
change_context: ("@@" | "@@ " /(.+)/) LF
change_line: ("+" | "-" | " ") /(.*)/ LF
eof_line: "*** End of File" LF

%import common.LF
"""
EDIT = (
    '*** Begin Patch\n*** Update File: a/"b".py\n@@ def f():\n-\tx = "\\n"\n+ é😀\n*** Add File: c\n+\n*** End Patch\n'
)
MARKUP = ToolMarkup(begin="<tool_call>\n", end="\n</tool_call>")


def tool(grammar: str, name: str = "edit") -> Tool:
    return Tool(name, parameters={"type": "object", "properties": {"input": {"type": "string"}}}, lark=grammar)


def held(grammar: str) -> CompiledGrammar:
    return compile_calls([tool(grammar)], ToolChoice("required"), MARKUP)


def takes(compiled: CompiledGrammar, text: str, **how: bool) -> bool:
    call = '{"name": "edit", "arguments": {"input": ' + json.dumps(text, ensure_ascii=False, **how) + "}}"  # type: ignore[arg-type]
    ids = TOKENIZER.encode(f"<tool_call>\n{call}\n</tool_call>", add_special_tokens=False).ids
    matcher = compiled._start.deep_copy()
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


def test_a_patch_is_held() -> None:
    compiled = held(PATCH)
    assert compiled.given_up == ()
    assert takes(compiled, EDIT)
    assert takes(compiled, EDIT.removesuffix("\n"))
    for wrong in (EDIT.replace("@@", "@"), EDIT.replace("+ é", "é"), EDIT[1:], EDIT + "x", EDIT.replace("\n", "")):
        assert not takes(compiled, wrong)


@pytest.mark.parametrize("seed", range(4))
def test_a_call_has_the_form_of_its_grammar(seed: int) -> None:
    compiled = held('start: "a\\n" LINE{2,3} END\nLINE: /[^\\n"]{1,3}/ /\\n/\nEND: "\\\\" | "\\"" /[\\t-z]?/')
    made = answer(compiled.processor(), seed)
    assert made.ended
    call = json.loads(made.text.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>"))
    assert re.fullmatch('a\n([^\n"]{1,3}\n){2,3}(\\\\|"[\t-z]?)', call["arguments"]["input"])


PATTERNS = [
    "(.*)",
    "(.+)",
    r"[^\n]*",
    r"[\s\S]*",
    'a"b|c\\\\d',
    r"\w+\s\w+",
    r"[^\\\"]{0,3}",
    r"(a|\t)*?x",
    r"\D\d?",
    "é+",
]


@LIMITS
@given(st.sampled_from(PATTERNS), st.text(st.sampled_from('ab"\\\n\t\x01cdx1 é/'), max_size=4))
def test_text_in_json_matches_as_the_text_itself_does(pattern: str, text: str) -> None:
    expected = re.fullmatch(pattern, text) is not None
    assert takes(held(f"start: /{pattern}/"), text) is expected


def test_a_dot_with_the_flag_s_is_any_character() -> None:
    assert takes(held("start: /.+/s"), "a\nb")
    assert not takes(held("start: /.+/"), "a\nb")


def test_white_space_may_stand_between_the_tokens_of_the_object() -> None:
    compiled = held('start: "a"')
    ids = TOKENIZER.encode('<tool_call>\n{"name": "edit", "arguments": {\n  "input": "a"\n}}\n</tool_call>').ids
    assert compiled._start.deep_copy().try_consume_tokens(ids) == len(ids)


@pytest.mark.parametrize(
    "grammar",
    [
        "start: A\nA: /a/ & /b/",
        "start: /^a$/",
        'start: "a"\n%ignore " "',
        'start: "a".."z"',
        "start: /a/i",
        'start: "a\\n"i',
        "start: /(?=a)b/",
        r"start: /\p{L}/",
        "start: /[/",
        "start: <[1]>",
        "start: @other",
        "%import common.PYTHON",
        "start: /a{20000}/",
        "x" * 100_000,
        f"start: /{'(' * 5000}a{')' * 5000}/",
    ],
)
def test_what_has_no_form_in_json_is_not_converted(grammar: str) -> None:
    with pytest.raises(NotConvertible):
        object_of_text(grammar, "input")


def test_a_grammar_that_cannot_be_held_is_named_and_leaves_the_call_free() -> None:
    tools = [Tool("f"), *(tool(grammar) for grammar in ('start: "a"\n%ignore " "', "start: none", "nonsense", PATCH))]
    prompt, given_up = COMPILER.with_held_grammars(ChatPrompt(messages=[], tools=tools))
    assert given_up == tuple(f"tools[{index}].function.lark" for index in (1, 2, 3))
    assert isinstance(prompt, ChatPrompt)
    assert [tool.lark is None for tool in prompt.tools] == [True, True, True, True, False]
