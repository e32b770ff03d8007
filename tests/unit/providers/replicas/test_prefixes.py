"""The beginnings of prompts: what continues what."""

import pytest

from providers.chat.types import (
    ChatMessage,
    ChatPrompt,
    GenerationRequest,
    ImagePart,
    Prompt,
    TextPart,
    TextPrompt,
    TokenPrompt,
    Tool,
)
from providers.embeddings.types import EmbeddingRequest
from providers.replicas.prefixes import BLOCK, MAX_BLOCKS, TOKENS, SentPrefixes, prefixes_of

USER = ChatMessage("user", "What is the capital of France?")
ANSWER = ChatMessage("assistant", "Paris.")
NEXT = ChatMessage("user", "And of Italy?")


def of(prompt: Prompt, **fields: object):
    return prefixes_of(GenerationRequest("r", prompt, **fields))


def chat(*messages: ChatMessage, **fields: object):
    return of(ChatPrompt([*messages], **fields))


def shared(earlier, later) -> int:
    sent = SentPrefixes()
    sent.add(earlier)
    return sent.match(later).characters


def test_a_later_turn_continues_the_earlier_one():
    first = chat(USER)

    assert shared(first, chat(USER, ANSWER, NEXT)) == first.total == len(USER.content)


def test_a_prompt_continues_one_that_got_an_answer():
    sent = SentPrefixes()
    sent.add(chat(USER))

    assert sent.match(chat(USER, ANSWER, NEXT)).continues
    assert sent.match(chat(USER)).continues
    assert not sent.match(chat(NEXT)).continues


def test_raw_prompts_are_continued_in_the_middle_of_a_block():
    sent = SentPrefixes()
    sent.add(of(TextPrompt("x" * (BLOCK + 9))))
    sent.add(of(TokenPrompt([*range(TOKENS + 9)])))

    assert sent.match(of(TextPrompt("x" * BLOCK * 9))) == (BLOCK, True)
    assert sent.match(of(TokenPrompt([*range(TOKENS * 9)]))) == (4 * TOKENS, True)


def test_a_prompt_that_is_only_computed_and_a_part_of_a_prompt_are_not_continued():
    sent = SentPrefixes()
    sent.add(of(ChatPrompt([USER]), prefill_only=True))
    sent.add(chat(NEXT, ANSWER))

    assert sent.match(chat(USER, ANSWER)) == (len(USER.content), False)
    assert sent.match(chat(NEXT, USER)) == (len(NEXT.content), False)
    sent.add(chat(USER))
    assert sent.match(chat(USER, ANSWER)) == (len(USER.content), True)
    sent.add(of(ChatPrompt([USER]), prefill_only=True))
    assert sent.match(chat(USER, ANSWER)).continues


@pytest.mark.parametrize(
    "other",
    [
        chat(ChatMessage("system", USER.content), NEXT),
        chat(NEXT, USER),
        chat(USER, tools=[Tool("weather")]),
        chat(USER, template_kwargs={"enable_thinking": False}),
        of(ChatPrompt([USER]), cache_salt="another key"),
        of(TextPrompt(USER.content)),
    ],
)
def test_other_beginnings_share_nothing(other):
    assert shared(chat(USER), other) == 0


def test_texts_share_whole_blocks():
    begin = "x" * BLOCK * 3

    assert shared(of(TextPrompt(begin + "one")), of(TextPrompt(begin + "two"))) == 3 * BLOCK
    assert shared(of(TextPrompt("x" * (BLOCK - 1))), of(TextPrompt("y" * (BLOCK - 1)))) == 0


def test_token_ids_share_whole_blocks():
    tokens = [*range(200)]

    assert shared(of(TokenPrompt(tokens)), of(TokenPrompt([*tokens, 7, 8]))) == 4 * 192


def test_tools_count_with_the_prompt_that_they_are_part_of():
    tools = [Tool("weather", "It rains. " * 100)]

    assert shared(chat(USER, tools=tools), chat(NEXT, tools=tools)) > 1000


def test_a_picture_is_known_by_its_digest():
    def with_picture(digest: str):
        return chat(ChatMessage("user", [TextPart("Look:"), ImagePart(1, 1, b"abc", digest)]), NEXT)

    assert shared(with_picture("a"), with_picture("a")) == with_picture("a").total
    assert shared(with_picture("a"), with_picture("b")) == len("Look:")


def test_of_a_very_long_prompt_only_the_beginning_is_looked_at():
    assert len(of(TextPrompt("x" * BLOCK * (MAX_BLOCKS + 9))).keys) == MAX_BLOCKS


def test_a_request_without_a_prompt_has_no_beginnings():
    assert prefixes_of(EmbeddingRequest("r", ["text"])).keys == []


def test_texts_that_are_not_unicode_have_beginnings():
    broken = chat(ChatMessage("user", "\ud800", tool_calls=[{"id": "\ud800"}]))

    assert shared(broken, broken) == broken.total > 0


def test_the_least_recently_sent_are_forgotten_first_and_the_longest_of_them():
    sent = SentPrefixes(bound=6)
    old, new = of(TextPrompt("a" * BLOCK * 4)), of(TextPrompt("b" * BLOCK * 4))
    sent.add(old)
    sent.add(new)

    assert (len(sent), sent.match(new).characters, sent.match(old).characters) == (6, 4 * BLOCK, 2 * BLOCK)
    sent.add(old)
    assert (len(sent), sent.match(new).characters, sent.match(old).characters) == (6, 2 * BLOCK, 4 * BLOCK)
    sent.clear()
    assert sent.match(old).characters == 0
