"""`image_generation`: what the model calls is painted, and becomes an item of the response."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import attrs
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.response_output_item import ImageGenerationCall
from pydantic import TypeAdapter

from providers.chat.types import (
    Accepted,
    ChatMessage,
    ChatPrompt,
    Finished,
    GenerationEvent,
    GenerationRequest,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from providers.errors import EngineCrashed, QueueFull
from providers.image.types import ImageAccepted, ImageEvent, ImageRequest
from providers.protocols import ModelCard
from server.app import create_app
from server.settings.settings import Settings
from tests.unit.server.api.images.painting import Script, ScriptedPainter, endless, opened, white
from tests.unit.server.api.responses.scripts import BODY, PATH
from tests.unit.server.fakes import FakeChat, FakeRegistry
from tests.unit.server.harness import WAIT, Exchange, ask, start

TOOL = {"type": "image_generation", "size": "64x96"}
EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


class Painter(ScriptedPainter):
    """A model that only paints."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def card(self) -> ModelCard:
        return attrs.evolve(super().card, capabilities=("image",))


def caller(*arguments: str, text: str = "") -> FakeChat:
    """A model that says this, then calls the tool with these arguments. Every further request has a short answer."""

    async def script(request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        prompt = request.prompt
        assert isinstance(prompt, ChatPrompt)
        yield Accepted(4, 0)
        if text:
            yield TextDelta(text)
        for number, given in enumerate(arguments):
            yield ToolCallDelta(number, id=f"call_{number}", name="image_generation")
            yield ToolCallDelta(number, given[:5])
            yield ToolCallDelta(number, given[5:])
        yield Finished("tool_calls", Usage(4, 3), prefill_seconds=0, decode_seconds=0)

    return FakeChat(script=script)


USER = [{"role": "user", "content": "And now?"}]
CUBE = '{"prompt": "a red cube"}'


async def served(chat: FakeChat, script: Script = white) -> tuple[Any, Painter]:
    painter = Painter(script)
    await painter.start()
    providers: Any = (chat, painter)
    settings = Settings(models=(chat.spec, painter.spec), grace_period=0.05)
    return create_app(settings, FakeRegistry(providers)), painter


async def test_a_model_that_only_edits_paints_nothing() -> None:
    class Editor(Painter):
        @property
        def card(self) -> ModelCard:
            return attrs.evolve(super().card, images=("edit",))

    chat, editor = caller(CUBE), Editor(white)
    providers: Any = (chat, editor)
    app = create_app(Settings(models=(chat.spec, editor.spec), grace_period=0.05), FakeRegistry(providers))
    answer = await ask(app, path=PATH, json={**BODY, "tools": [TOOL]})

    assert answer.status == 200
    assert "image_generation" in answer.headers["x-ignored-parameters"]
    prompt = chat.requests[0].prompt
    assert isinstance(prompt, ChatPrompt)
    assert not prompt.tools


async def respond(chat: FakeChat, script: Script = white, **fields: Any) -> Exchange:
    app, _ = await served(chat, script)
    return await ask(app, path=PATH, json={**BODY, "tools": [TOOL], **fields})


def calls(answer: Exchange) -> list[ImageGenerationCall]:
    output = Response.model_validate(answer.json).output
    return [item for item in output if isinstance(item, ImageGenerationCall)]


async def test_a_call_becomes_an_image() -> None:
    app, painter = await served(caller(CUBE, text="Here it is."))
    answer = await ask(app, path=PATH, json={**BODY, "tools": [TOOL]})

    message, item = answer.json["output"]
    (call,) = calls(answer)
    assert message["content"][0]["text"] == "Here it is."
    assert (call.status, call.revised_prompt, call.size, call.output_format) == (
        "completed",
        "a red cube",
        "64x96",
        "png",
    )
    assert opened(call.result or "").size == (64, 96)
    assert item["id"].startswith("ig_")
    assert (item["seed"], item["model"]) == (7, "painter")
    assert answer.json["status"] == "completed"
    assert painter.requests[0].prompt == "a red cube"


async def test_the_model_knows_the_tool_as_a_function() -> None:
    chat = caller(CUBE)
    await respond(chat)

    prompt = chat.requests[0].prompt
    assert isinstance(prompt, ChatPrompt)
    (tool,) = prompt.tools
    assert (tool.name, tool.strict) == ("image_generation", True)
    assert tool.parameters is not None
    assert tool.parameters["required"] == ["prompt"]


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "image_generation"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "image_generation"}]},
    ],
)
async def test_the_choice_of_the_tool_forces_the_call(choice: dict[str, Any]) -> None:
    chat = caller(CUBE)
    answer = await respond(chat, tool_choice=choice)

    prompt = chat.requests[0].prompt
    assert answer.status == 200
    assert isinstance(prompt, ChatPrompt)
    assert prompt.tool_choice.mode == "required"


async def test_the_events_are_openai_s() -> None:
    answer = await respond(caller(CUBE), stream=True)

    events = [EVENT.validate_json(data) for data in answer.data]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.image_generation_call.in_progress",
        "response.image_generation_call.generating",
        "response.image_generation_call.completed",
        "response.output_item.done",
        "response.completed",
    ]


async def test_previews_are_events_of_the_call() -> None:
    app, painter = await served(caller(CUBE))
    painter.script = lambda request: super(ScriptedPainter, painter)._image_events(request)
    tool = {**TOOL, "partial_images": 2, "seed": 5, "output_format": "webp"}
    answer = await ask(app, path=PATH, json={**BODY, "tools": [tool], "stream": True})

    events = [EVENT.validate_json(data) for data in answer.data]
    partial = [event for event in events if event.type == "response.image_generation_call.partial_image"]
    assert [event.partial_image_index for event in partial] == [0, 1]
    assert {opened(event.partial_image_b64).format for event in partial} == {"WEBP"}
    done = events[-2]
    assert done.type == "response.output_item.done"
    assert isinstance(done.item, ImageGenerationCall)
    assert done.item.result not in {event.partial_image_b64 for event in partial}


async def test_several_calls_are_painted_in_their_order() -> None:
    answer = await respond(caller(*(f'{{"prompt": "{number}"}}' for number in range(6))))

    assert [(call.revised_prompt, call.status) for call in calls(answer)] == [
        *((str(number), "completed") for number in range(4)),
        *((str(number), "failed") for number in (4, 5)),
    ]


async def refusing(request: ImageRequest) -> AsyncGenerator[ImageEvent, None]:
    raise QueueFull("as many as may")
    yield


async def breaking(request: ImageRequest) -> AsyncGenerator[ImageEvent, None]:
    yield ImageAccepted(64, 64, 4, 7)
    raise EngineCrashed("broken")


@pytest.mark.parametrize(
    ("arguments", "script", "code"),
    [
        (CUBE, refusing, "queue_full"),
        (CUBE, breaking, "engine_crashed"),
        ('{"prompt": "a re', white, "invalid_request_error"),
        ('{"prompt": " "}', white, "invalid_request_error"),
        ("[]", white, "invalid_request_error"),
    ],
)
async def test_an_image_that_fails_does_not_fail_the_response(arguments: str, script: Script, code: str) -> None:
    answer = await respond(caller(arguments), script)

    (call,) = calls(answer)
    assert (call.status, call.result) == ("failed", None)
    assert call.error is not None
    assert call.error.code == code
    assert answer.json["status"] == "completed"


async def test_a_disconnect_ends_the_painting() -> None:
    app, painter = await served(caller(CUBE), endless)
    exchange = start(app, path=PATH, json={**BODY, "tools": [TOOL], "stream": True})
    async with asyncio.timeout(WAIT):
        await painter.started.wait()
        exchange.disconnect()
        await painter.closed.wait()
    await exchange.finished()


async def test_a_later_turn_knows_of_the_image() -> None:
    chat = caller(CUBE)
    app, _ = await served(chat)
    first = await ask(app, path=PATH, json={**BODY, "tools": [TOOL]})
    await ask(app, path=PATH, json={**BODY, "previous_response_id": first.json["id"]})
    stored = await ask(app, "GET", f"{PATH}/{first.json['id']}")
    replayed = await ask(app, path=PATH, json={"model": "any", "input": [*first.json["output"], *USER]})

    assert stored.json["output"] == first.json["output"]
    assert replayed.status == 200
    for request in chat.requests[1:]:
        assert isinstance(request.prompt, ChatPrompt)
        roles = [message.role for message in request.prompt.messages]
        assert roles[-3:] == ["assistant", "tool", "user"]
        called, output = request.prompt.messages[-3:-1]
        assert called.tool_calls is not None
        assert called.tool_calls[0]["function"] == {"name": "image_generation", "arguments": {"prompt": "a red cube"}}
        assert output == ChatMessage(
            role="tool", content="The image was shown to the user.", tool_call_id=called.tool_calls[0]["id"]
        )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"size": "17x9"}, "tools[0].size"),
        ({"background": "transparent"}, "tools[0].background"),
        ({"output_format": "svg"}, "tools[0]"),
        ({"partial_images": 9}, "tools[0]"),
    ],
)
async def test_what_cannot_be_painted_is_refused(fields: dict[str, Any], param: str) -> None:
    answer = await respond(caller(CUBE), tools=[{**TOOL, **fields}])

    assert answer.status == 400
    assert answer.error["param"].startswith(param)


async def test_without_a_model_that_paints_the_tool_is_noted() -> None:
    chat = caller()
    app = create_app(Settings(models=(chat.spec,)), FakeRegistry((chat,)))
    answer = await ask(app, path=PATH, json={**BODY, "tools": [TOOL]})

    assert answer.status == 200
    assert answer.headers["x-ignored-parameters"] == "tools[0].image_generation"
