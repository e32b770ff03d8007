"""What a client sees of the echo model."""

import asyncio
from contextlib import aclosing

import pytest

from providers.chat.protocol import ChatProvider
from providers.chat.types import (
    Accepted,
    ChatMessage,
    ChatPrompt,
    Finished,
    GenerationEvent,
    GenerationRequest,
    ImagePart,
    JsonObjectGrammar,
    RegexGrammar,
    TextDelta,
    TextPart,
    TextPrompt,
    TokenPrompt,
    ToolChoice,
)
from providers.echo.provider import EchoProvider
from providers.errors import (
    ContextLengthExceeded,
    EngineCrashed,
    GenerationTimeout,
    InvalidRequest,
    ModelNotReady,
    QueueFull,
    ServiceError,
    UnsupportedParameter,
)
from providers.spec import ModelSpec


def chat(*texts: str, role: str = "user", template: dict[str, object] | None = None, **fields: object):
    prompt = ChatPrompt([ChatMessage(role, text) for text in texts], template or {})
    return GenerationRequest(id="r1", prompt=prompt, **fields)


async def echo(**fields: object) -> EchoProvider:
    provider = EchoProvider(ModelSpec(**({"name": "echo", "path": "", "model_type": "echo"} | fields)))
    await provider.start()
    return provider


async def answer(provider: ChatProvider, request: GenerationRequest) -> list[GenerationEvent]:
    async with aclosing(provider.generate(request)) as events:
        return [event async for event in events]


def text(events: list[GenerationEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_says_the_last_user_message_word_by_word():
    events = await answer(await echo(), chat("earlier", "  To be,\nor not  "))
    accepted, *deltas, finished = events
    assert accepted == Accepted(prompt_tokens=6, cached_tokens=0)
    assert [delta.text for delta in deltas] == ["  ", "To ", "be,\n", "or ", "not  "]
    assert isinstance(finished, Finished)
    assert (finished.finish_reason, finished.usage.prompt_tokens, finished.usage.completion_tokens) == ("stop", 6, 5)


@pytest.mark.parametrize(
    ("limits", "said", "ended"),
    [
        ({"max_tokens": 2}, "one two ", ("length", None)),
        ({"max_tokens": 4}, "one two three four", ("stop", None)),
        ({"stop": ["e f", "wo"]}, "one t", ("stop", "wo")),
        ({"stop": ["absent"]}, "one two three four", ("stop", None)),
        ({"stop": ["three"], "max_tokens": 1}, "one ", ("length", None)),
        ({"stop": ["one"]}, "", ("stop", "one")),
    ],
)
async def test_honours_max_tokens_and_stop_strings(limits: dict[str, object], said: str, ended: tuple[str, str | None]):
    events = await answer(await echo(), chat("one two three four", **limits))
    assert text(events) == said
    assert (events[-1].finish_reason, events[-1].stop) == ended
    assert events[-1].usage.completion_tokens == sum(isinstance(event, TextDelta) for event in events)


@pytest.mark.parametrize(("given", "said"), [(None, "one two "), (3, "one two three ")])
async def test_the_models_own_limit_ends_answers_whose_request_has_none(given: int | None, said: str):
    events = await answer(await echo(max_tokens=2), chat("one two three four", max_tokens=given))
    assert text(events) == said
    assert events[-1].finish_reason == "length"


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (TextPrompt("raw text"), "raw text"),
        (TokenPrompt([1, 22]), "1 22 "),
        (ChatPrompt([ChatMessage("system", "be brief")]), ""),
        (ChatPrompt([]), ""),
    ],
)
async def test_answers_every_kind_of_prompt(prompt, said: str):
    events = await answer(await echo(), GenerationRequest(id="r", prompt=prompt))
    assert text(events) == said


async def test_tokenises_by_words_and_back():
    provider = await echo()
    tokens = await provider.tokenize(TextPrompt("to be  or\nnot to be "))
    assert len(tokens) == 6
    assert tokens[0] == tokens[4] != tokens[1]
    assert await provider.token_strings(tokens) == ["to ", "be  ", "or\n", "not ", "to ", "be "]
    assert await provider.detokenize(tokens) == "to be  or\nnot to be "
    assert text(await answer(provider, GenerationRequest(id="r", prompt=TokenPrompt(tokens[:2])))) == "to be  "
    assert await provider.tokenize(ChatPrompt([ChatMessage("user", "to "), ChatMessage("user", "be")])) == [
        tokens[0],
        max(tokens) + 1,
    ]


async def test_refuses_what_does_not_fit_the_context():
    provider = await echo(context_length=4)
    assert text(await answer(provider, chat("a b c", max_tokens=1))) == "a "
    with pytest.raises(ContextLengthExceeded, match="4 tokens"):
        await answer(provider, chat("a b c d"))
    assert text(await answer(provider, chat("a b c", max_tokens=2))) == "a "
    assert provider.queue_stats.active == 0


async def test_gives_the_requested_number_of_answers():
    provider = await echo()
    events = await answer(provider, chat("a b", n=3))
    for index in range(3):
        mine = [event for event in events if getattr(event, "index", None) == index]
        assert text(mine) == "a b"
        assert isinstance(mine[-1], Finished)
    assert (provider.queue_stats.active, provider.queue_stats.completed) == (0, 1)


async def test_each_answer_takes_a_place_of_its_own():
    provider = await echo(path="delay=60", max_concurrency=4)
    held = provider.generate(chat("slow", n=3))
    await anext(held)
    both = asyncio.ensure_future(answer(provider, chat("a", n=2, template={"echo_delay": 0})))
    await asyncio.sleep(0)
    one = asyncio.ensure_future(answer(provider, chat("b", template={"echo_delay": 0})))
    await asyncio.sleep(0)
    assert (provider.queue_stats.active, provider.queue_stats.pending) == (1, 2)
    await held.aclose()
    async with asyncio.timeout(30):
        assert text(await both) == "aa"
        assert text(await one) == "b"
    assert provider.queue_stats.active == 0


async def test_more_answers_than_there_are_places_are_refused_by_name():
    provider = await echo(max_concurrency=2)
    with pytest.raises(InvalidRequest, match="n is 3") as caught:
        await answer(provider, chat("a", n=3))
    assert caught.value.param == "n"


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (chat("a", top_logprobs=0), "logprobs"),
        (chat("a", grammar=JsonObjectGrammar()), "response_format"),
        (chat("a", grammar=RegexGrammar("a"), grammar_param="guided_regex"), "guided_regex"),
        (GenerationRequest(id="r", prompt=ChatPrompt([], tool_choice=ToolChoice("required"))), "tool_choice"),
    ],
)
async def test_refuses_by_name_what_it_cannot_do(request_: GenerationRequest, param: str):
    with pytest.raises(UnsupportedParameter) as caught:
        await answer(await echo(), request_)
    assert caught.value.param == param


async def test_breaks_off_at_the_configured_place():
    provider = await echo()
    stream = provider.generate(chat("a b c", template={"echo_fail_after": 2}))
    assert text([await anext(stream) for _ in range(3)]) == "a b "
    with pytest.raises(EngineCrashed):
        await anext(stream)
    assert provider.queue_stats.failed == 1


async def test_an_answer_over_its_timeout_is_broken_off():
    provider = await echo(path="delay=60")
    with pytest.raises(GenerationTimeout):
        await answer(provider, chat("slow", timeout=0.01))
    assert (provider.queue_stats.active, provider.queue_stats.failed) == (0, 1)


async def test_a_request_can_ask_for_another_pace_than_the_model_has():
    provider = await echo(path="delay=60&prefill=60")
    events = await answer(provider, chat("now", template={"echo_delay": 0, "echo_prefill": 0}))
    assert text(events) == "now"


@pytest.mark.parametrize(
    "template", [{"echo_delay": "soon"}, {"echo_delay": -1}, {"echo_dealy": 1}, {"echo_prefill": 1e999}]
)
async def test_a_bad_setting_in_a_request_is_a_bad_request(template: dict[str, object]):
    with pytest.raises(InvalidRequest) as caught:
        await answer(await echo(), chat("hi", template=template))
    assert caught.value.param == "chat_template_kwargs"


@pytest.mark.parametrize("path", ["delay=fast", "dealy=1", "nonsense", "fail_after=-1"])
def test_a_bad_setting_in_the_path_is_an_error_at_start(path: str):
    with pytest.raises(ValueError, match="echo model"):
        EchoProvider(ModelSpec(name="echo", path=path, model_type="echo"))


async def test_closing_the_stream_frees_the_place_for_the_next():
    provider = await echo(path="prefill=0&delay=60", max_concurrency=1, queue_size=0)
    stream = provider.generate(chat("hi"))
    assert isinstance(await anext(stream), Accepted)
    with pytest.raises(QueueFull):
        await answer(provider, chat("me too"))
    await stream.aclose()
    assert text(await answer(provider, chat("me too", template={"echo_delay": 0}))) == "me too"
    stats = provider.queue_stats
    assert (stats.active, stats.completed, stats.cancelled, stats.rejected) == (0, 1, 1, 1)


async def test_closing_on_the_last_event_counts_as_completed():
    provider = await echo()
    async with aclosing(provider.generate(chat("hi"))) as events:
        async for event in events:
            if isinstance(event, Finished):
                break
    assert (provider.queue_stats.completed, provider.queue_stats.cancelled) == (1, 0)


async def test_stop_ends_answers_and_refuses_new_ones():
    provider = await echo(path="delay=60")
    stream = provider.generate(chat("hi"))
    await anext(stream)
    pending = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await provider.stop()
    await provider.stop()
    with pytest.raises(ModelNotReady):
        await asyncio.wait_for(pending, 30)
    with pytest.raises(ModelNotReady):
        await answer(provider, chat("hi"))
    assert provider.card.status == "stopped"


async def test_drain_lets_answers_end_and_admits_no_more():
    provider = await echo()
    stream = provider.generate(chat("a b"))
    await anext(stream)
    provider.begin_drain()
    with pytest.raises(ServiceError) as caught:
        await answer(provider, chat("late"))
    assert isinstance(caught.value, ModelNotReady)
    assert text([event async for event in stream]) == "a b"


async def test_reads_of_a_picture_its_size():
    picture = ImagePart(640, 480, bytes(3), "00")
    prompt = ChatPrompt(messages=[ChatMessage("user", [TextPart("a"), picture, TextPart("b")])])
    provider = await echo()
    said = await answer(provider, GenerationRequest(id="1", prompt=prompt))
    assert text(said) == "a\n[image 640x480]\nb"
    assert len(await provider.tokenize(prompt)) == 4
