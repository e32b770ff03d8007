"""The block of passages in front of a user's turn."""

from __future__ import annotations

from providers.chat.types import ChatMessage, ChatPrompt, ImagePart, TextPart
from server.api.grounding.block import last_user_text, with_block, with_passages
from tests.unit.server.api.grounding.passages import BEES, HIVES

BLOCK = """\
Passages from files, by number:

[1] bees.md
Bees dance.

[2] hives.txt
Hives hum.

Use these passages where they help to answer the message below. \
Cite each passage that you use by its number in brackets, such as [1].

Why?"""

CHAT = ChatPrompt(
    messages=[
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="Hi"),
        ChatMessage(role="assistant", content="Hello"),
        ChatMessage(role="user", content="Why?"),
        ChatMessage(role="tool", content="42"),
    ]
)


def test_the_block_numbers_passages_and_names_their_files() -> None:
    assert with_block([("bees.md", "Bees dance."), ("hives.txt", "Hives hum.")], "Why?") == BLOCK


def test_without_passages_a_turn_stays_as_it_is() -> None:
    assert with_block([], "Why?") == "Why?"
    assert with_passages(CHAT, [], cite=True) is CHAT


def test_a_name_of_several_lines_stays_on_its_line_and_a_voice_is_asked_for_no_marks() -> None:
    block = with_block([("a\nb.md", "\n Text \n")], "Why?", cite=False)

    assert "\n\n[1] a b.md\nText\n\n" in block
    assert "Cite" not in block


def test_the_block_is_in_front_of_the_last_user_turn_and_other_turns_stay_the_same() -> None:
    grounded = with_passages(CHAT, [BEES, HIVES], cite=True)

    assert last_user_text(CHAT) == "Why?"
    assert [message.content for message in grounded.messages] == ["Be brief.", "Hi", "Hello", BLOCK, "42"]


def test_a_conversation_without_a_user_turn_gets_no_block() -> None:
    prompt = ChatPrompt(messages=[ChatMessage(role="system", content="Go.")])

    assert last_user_text(prompt) == ""
    assert with_passages(prompt, [BEES], cite=True) is prompt


def test_the_block_is_in_front_of_a_turns_pictures() -> None:
    picture = ImagePart(1, 1, b"\0\0\0", "00")
    turn = ChatMessage(role="user", content=[picture, TextPart("Why?")])

    (grounded,) = with_passages(ChatPrompt(messages=[turn]), [BEES, HIVES], cite=True).messages

    assert last_user_text(ChatPrompt(messages=[turn])) == "Why?"
    assert grounded.content == [TextPart(BLOCK.removesuffix("\n\nWhy?")), picture, TextPart("Why?")]
