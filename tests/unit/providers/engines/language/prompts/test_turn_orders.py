"""Templates that refuse the order of a conversation's turns get one that they take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlx_lm.tokenizer_utils import load

from providers.chat.types import ChatMessage, ChatPrompt
from providers.engines.language.prompts.builder import PromptBuilder
from providers.engines.language.prompts.tools import ToolPrompter
from providers.engines.language.prompts.turn_orders import gathered_system, turn_orders
from providers.engines.output.markup import make_tool_format
from providers.errors import InvalidRequest
from tests.unit.providers.engines import tiny

TURN = "{{ '[' + message['role'] + ']' + message['content'] }}"
GENERATION = "{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}"
SYSTEM_FIRST = (
    "{% for message in messages %}{% if message['role'] == 'system' and not loop.first %}"
    "{{ raise_exception('System message must be at the beginning.') }}{% endif %}"
    f"{TURN}{{% endfor %}}{GENERATION}"
)
NEEDS_A_USER = (
    "{% if messages | selectattr('role', 'equalto', 'user') | list | length == 0 %}"
    f"{{{{ raise_exception('No user query found in messages.') }}}}{{% endif %}}{SYSTEM_FIRST}"
)
ALTERNATES = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    f"{TURN}{{% endfor %}}{GENERATION}"
)
ENDS_WITH_A_USER = (
    "{% if messages[-1]['role'] != 'user' %}{{ raise_exception('The last turn must be the user\\'s') }}{% endif %}"
    f"{{% for message in messages %}}{TURN}{{% endfor %}}{GENERATION}"
)
SYSTEM, USER, ASSISTANT = ("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    def render(template: str, *turns: tuple[str, str | None], **fields: Any) -> str:
        folder: Path = tmp_path_factory.mktemp("tokenizer")
        tokenizer = load(tiny.write_folder(folder, template=template))
        prompter = ToolPrompter(tokenizer, make_tool_format("auto", tokenizer))
        builder = PromptBuilder(tokenizer, prompter, None, vocabulary=300, limit=4096, trimmable=True)
        messages = [ChatMessage(role=role, content=content, **fields) for role, content in turns]
        return str(tokenizer.decode(builder.build(ChatPrompt(messages)).tokens))

    return render


def test_system_turns_anywhere_are_one_in_front(rendered: Callable[..., str]) -> None:
    late = [SYSTEM, ("system", "The user is Ada."), USER, ASSISTANT, ("system", "One sentence."), ("user", "And?")]
    expected = "[system]Be brief.\n\nThe user is Ada.\n\nOne sentence.[user]Hi[assistant]Hello[user]And?[assistant]"
    assert rendered(SYSTEM_FIRST, *late) == expected
    assert rendered(NEEDS_A_USER, *late) == expected


def test_a_template_that_takes_the_order_keeps_it(rendered: Callable[..., str]) -> None:
    free = f"{{% for message in messages %}}{TURN}{{% endfor %}}{GENERATION}"
    assert rendered(free, USER, SYSTEM, ASSISTANT) == "[user]Hi[system]Be brief.[assistant]Hello[assistant]"


@pytest.mark.parametrize(
    ("template", "turns", "expected"),
    [
        (NEEDS_A_USER, [SYSTEM], "[system]Be brief.[user][assistant]"),
        (NEEDS_A_USER, [SYSTEM, ASSISTANT], "[system]Be brief.[user][assistant]Hello[assistant]"),
        (NEEDS_A_USER, [ASSISTANT], "[user][assistant]Hello[assistant]"),
        (ALTERNATES, [SYSTEM], "[user]Be brief.[assistant]"),
        (ALTERNATES, [SYSTEM, USER, ASSISTANT, USER], "[user]Be brief.\n\nHi[assistant]Hello[user]Hi[assistant]"),
        (ALTERNATES, [USER, USER], "[user]Hi\n\nHi[assistant]"),
        (ALTERNATES, [ASSISTANT, USER, SYSTEM], "[user]Be brief.[assistant]Hello[user]Hi[assistant]"),
        (ENDS_WITH_A_USER, [USER, ASSISTANT], "[user]Hi[assistant]Hello[user][assistant]"),
        (ENDS_WITH_A_USER, [SYSTEM], "[system]Be brief.[user][assistant]"),
    ],
)
def test_a_turn_of_the_user_is_added_where_the_template_insists(
    rendered: Callable[..., str], template: str, turns: list[tuple[str, str]], expected: str
) -> None:
    assert rendered(template, *turns) == expected


def test_what_no_order_satisfies_is_refused_with_the_template_s_first_words(rendered: Callable[..., str]) -> None:
    with pytest.raises(InvalidRequest, match="cannot render these messages: never") as caught:
        rendered("{{ raise_exception('never') }}", USER)
    assert caught.value.param == "messages"


@pytest.mark.parametrize("content", [None, ""])
@pytest.mark.parametrize("template", [SYSTEM_FIRST, NEEDS_A_USER, ALTERNATES])
def test_an_assistant_s_turn_without_text_is_empty(
    rendered: Callable[..., str], template: str, content: str | None
) -> None:
    text = rendered(template, USER, ("assistant", content), USER)
    assert text == "[user]Hi[assistant][user]Hi[assistant]"


def test_reasoning_of_earlier_turns_reaches_a_template_that_keeps_it(rendered: Callable[..., str]) -> None:
    keeps = (
        "{% for message in messages %}{% if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>"
        f"{{% endif %}}{TURN}{{% endfor %}}{GENERATION}"
    )
    text = rendered(keeps, ("assistant", None), reasoning_content="The user greets.")
    assert text == "<think>The user greets.</think>[assistant][assistant]"


def test_turns_with_more_than_text_are_not_merged() -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [{}]}
    results = [{"role": "tool", "content": text, "tool_call_id": text} for text in "ab"]
    turns = [{"role": "user", "content": "x"}, call, *results]
    assert all(order[1:4] == [call, *results] for order in turn_orders(turns))


def test_orders_do_not_change_the_conversation() -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "system", "content": "c"}]
    before = [dict(turn) for turn in turns]
    assert [dict(turn) for turn in gathered_system(turns)] in list(turn_orders(turns))
    assert turns == before
    assert turns not in list(turn_orders(turns))
