"""Which replica answers: the one with the prompt, unless it is much busier."""

from collections import Counter

from providers.chat.types import ChatMessage, ChatPrompt, GenerationRequest
from providers.replicas.prefixes import Prefixes, prefixes_of
from providers.replicas.routing import MAX_KEYS, Load, Router

NOTHING = Prefixes([], [])
MOST = 8


def loads(*answers: int, most: int = MOST) -> list[Load]:
    return [Load(number, count, most) for number, count in enumerate(answers)]


def turn(*texts: str) -> Prefixes:
    roles = ("user", "assistant")
    messages = [ChatMessage(roles[at % 2], text) for at, text in enumerate(texts)]
    return prefixes_of(GenerationRequest("r", ChatPrompt(messages)))


def test_conversations_are_spread_and_stay_where_they_began():
    router = Router()
    first = {name: router.route(loads(0, 0), turn(f"{name} asks"))[0] for name in "abcdefgh"}

    assert Counter(first.values()) == {0: 4, 1: 4}
    for name, replica in first.items():
        for said in (["yes " * 99, "go on"], ["yes " * 99, "go on", "well", "and " * 999]):
            assert router.route(loads(0, 0), turn(f"{name} asks", *said)) == (replica, "prefix")


def test_the_longest_beginning_wins():
    router = Router()
    router.route(loads(0, 9), turn("rules", "yes"))
    router.route(loads(9, 0), turn("rules", "yes", "my question", "an answer"))

    assert router.route(loads(0, 0), turn("rules", "yes", "my question", "an answer", "next")) == (1, "prefix")


def test_a_short_beginning_in_common_draws_nothing():
    router = Router()
    router.route(loads(0, 9), turn("hello", "a" * 300))

    assert router.route(loads(1, 0), turn("hello", "b" * 300)) == (1, "load")
    assert router.route(loads(0, 0), turn("x" * 300, "a"))[1] == "load"


def test_a_replica_that_is_far_busier_is_spared():
    router = Router()
    router.route(loads(0, 9), turn("question"))

    assert router.route(loads(MOST // 2, 0), turn("question", "a")) == (0, "prefix")
    assert router.route(loads(MOST // 2 + 1, 0), turn("question", "b")) == (1, "overload")
    # Now both have the beginning; the idler one gets it.
    assert router.route(loads(1, 0), turn("question", "c")) == (1, "prefix")


def test_a_request_waits_for_no_place_in_one_engine_while_another_has_it():
    router = Router()
    router.route(loads(0, 9), turn("question"))

    assert router.route(loads(MOST, MOST - 1), turn("question", "a")) == (1, "overload")
    assert router.route(loads(MOST - 2, MOST - 3), turn("question", "b"), answers=3)[0] == 1
    # Where none has room, the prompt decides.
    router = Router()
    router.route(loads(0, 9), turn("question"))
    assert router.route(loads(MOST, MOST), turn("question", "a")) == (0, "prefix")


def test_an_engine_for_one_answer_is_busy_with_one():
    router = Router()
    router.route(loads(0, 9, most=1), turn("question"))

    assert router.route(loads(1, 0, most=1), turn("question", "a")) == (1, "overload")


def test_a_replica_that_died_is_forgotten():
    router = Router()
    router.route(loads(0, 9), turn("question"), "key")
    router.route(loads(9, 0), turn("another"), "other key")
    router.forget(0)

    assert router.route(loads(1, 0), turn("question", "a")) == (1, "load")
    assert router.route(loads(1, 0), turn("x" * 99), "key") == (1, "load")
    assert router.route(loads(0, 1), turn("another", "a"), "other key") == (1, "prefix")


def test_a_replica_that_cannot_answer_is_not_chosen():
    router = Router()
    router.route(loads(0, 9), turn("question"), "key")

    assert router.route(loads(0, 0)[1:], turn("question", "a"), "key") == (1, "load")


def test_a_key_keeps_requests_together_that_share_no_text():
    router = Router()
    router.route(loads(9, 0), turn("question"), "room")

    assert router.route(loads(1, 1), turn("something else"), "room") == (1, "key")
    assert router.route(loads(0, MOST // 2 + 1), turn("a third"), "room") == (0, "overload")


def test_the_key_decides_between_replicas_with_the_same_beginning():
    router = Router()
    router.route(loads(0, 9), turn("rules"), "a")
    router.route(loads(9, 0), turn("rules"), "b")

    assert router.route(loads(1, 2), turn("rules", "yes"), "b") == (1, "prefix")
    assert router.route(loads(2, 1), turn("rules", "no"), "a") == (0, "prefix")


def test_keys_are_forgotten_in_their_order():
    router = Router()
    router.route(loads(9, 0), NOTHING, "first")
    for number in range(MAX_KEYS):
        router.route(loads(0, 9), NOTHING, f"key {number}")

    assert router.route(loads(0, 1), NOTHING, "first") == (0, "load")


def test_equal_replicas_take_turns():
    router = Router()

    chosen = [router.route(loads(0, 0, 0), NOTHING)[0] for _ in range(9)]

    assert chosen == [0, 1, 2] * 3
    assert router.counts(1) == {"prefix": 0, "key": 0, "load": 3, "overload": 0}
    assert router.counts(7) == {"prefix": 0, "key": 0, "load": 0, "overload": 0}
