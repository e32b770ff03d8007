"""Images of the echo model, through the official SDK, over HTTP and with the command."""

from __future__ import annotations

import base64
import io
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from openai import BadRequestError, OpenAI
from openai.types import ImageEditCompletedEvent, ImageGenCompletedEvent, ImageGenPartialImageEvent
from PIL import Image

from tests.live.client import PATIENCE, assert_error, eventually, queue_stats
from tests.live.harness import COMMAND, LiveServer, clean_environment, start


@pytest.fixture(scope="module")
def client(echo_server: LiveServer) -> Generator[OpenAI]:
    with OpenAI(base_url=echo_server.base_url, api_key="unused", max_retries=0) as client:
        yield client


def opened(file: str | None) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(file or "")))
    image.load()
    return image


def pixels(file: str | None) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.asarray(opened(file), np.float32)


def png(width: int, height: int, colour: str = "green") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def paint(client: OpenAI, seed: int, prompt: str = "a red cube") -> list[str | None]:
    answer = client.images.generate(model="any", prompt=prompt, n=2, size="256x128", extra_body={"seed": seed})  # type: ignore[call-overload]
    return [image.b64_json for image in answer.data or []]


def test_images_have_the_requested_size_and_equal_seeds_make_equal_files(client: OpenAI) -> None:
    first = paint(client, 1)

    assert [opened(file).size for file in first] == [(256, 128)] * 2
    assert first == paint(client, 1)
    assert first[1:] == paint(client, 2)[:1]
    assert first != paint(client, 1, "a blue cube")


def test_a_stream_has_previews_that_come_closer_to_the_image(client: OpenAI) -> None:
    with client.images.generate(
        model="any", prompt="a red cube", size="1024x1024", stream=True, partial_images=3, output_format="jpeg"
    ) as stream:
        events = list(stream)

    *partial, completed = events
    assert isinstance(completed, ImageGenCompletedEvent)
    assert [event.partial_image_index for event in partial if isinstance(event, ImageGenPartialImageEvent)] == [0, 1, 2]
    final = pixels(completed.b64_json)
    distances = [float(np.abs(pixels(each.b64_json) - final).mean()) for each in partial]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 2 * distances[-1]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Generator[OpenAI]:
    """The embedded chat model beside the echo model, which paints."""
    config = tmp_path_factory.mktemp("pair") / "models.yaml"
    config.write_text("models:\n  - {served_model_name: chat}\n  - {model_type: echo}\n")
    running = start("--config", str(config))
    with OpenAI(base_url=running.base_url, api_key="unused", max_retries=0) as client:
        yield client
    assert running.stop() == 0


def test_a_chat_model_has_an_image_painted(pair: OpenAI) -> None:
    tool: Any = {"type": "image_generation", "size": "128x64", "partial_images": 1, "seed": 1}
    with pair.responses.create(
        model="chat",
        input="Paint a red cube.",
        tools=[tool],
        tool_choice={"type": "image_generation"},
        temperature=0,
        max_output_tokens=200,
        stream=True,
    ) as stream:
        events = list(stream)

    assert [event.type.removeprefix("response.image_generation_call.") for event in events][2:-1] == [
        "response.output_item.added",
        *("in_progress", "generating", "partial_image", "completed"),
        "response.output_item.done",
    ]
    last = events[-1]
    assert last.type == "response.completed"
    [call] = last.response.output
    assert call.type == "image_generation_call"
    assert opened(call.result).size == (128, 64)
    assert call.revised_prompt
    later = pair.responses.create(
        model="chat", input="What did you paint?", previous_response_id=last.response.id, max_output_tokens=5
    )
    assert later.output[0].type == "message"


def test_an_edit_changes_what_the_mask_shows(client: OpenAI) -> None:
    mask = Image.new("L", (128, 64))
    mask.paste(255, (0, 0, 64, 64))
    file = io.BytesIO()
    mask.save(file, "PNG")

    answer = client.images.edit(model="any", image=png(128, 64), mask=file.getvalue(), prompt="a red cube")

    [image] = answer.data or []
    made = opened(image.b64_json)
    assert made.size == (128, 64)
    assert {made.getpixel((x, y)) for x in range(64, 128) for y in range(64)} == {(0, 128, 0)}
    assert made.getpixel((0, 0)) != (0, 128, 0)


def test_several_images_are_edited_and_streamed(client: OpenAI) -> None:
    sources = [png(64, 64), png(96, 64, "blue")]
    with client.images.edit(model="any", image=sources, prompt="both", stream=True) as stream:
        [event] = list(stream)

    assert isinstance(event, ImageEditCompletedEvent)
    assert event.usage.input_tokens_details.image_tokens == 4 * 4 + 6 * 4


def test_what_cannot_be_painted_is_a_400_with_its_parameter(client: OpenAI, echo_server: LiveServer) -> None:
    with pytest.raises(BadRequestError, match="multiples of 16") as refusal:
        client.images.generate(model="any", prompt="x", size="17x9")  # type: ignore[call-overload]
    assert refusal.value.param == "size"
    with pytest.raises(BadRequestError, match="SVG"):
        client.images.edit(model="any", image=b"<svg/>", prompt="x")
    with pytest.raises(BadRequestError, match="same size"):
        client.images.edit(model="any", image=png(64, 64), mask=png(32, 32), prompt="x")
    variations = httpx.post(f"{echo_server.url}/v1/images/variations", files={"image": png(64, 64)}, timeout=PATIENCE)
    assert_error(variations, 404, "not_found")


def test_a_client_that_leaves_ends_the_work(client: OpenAI, echo_server: LiveServer) -> None:
    before = queue_stats(echo_server.url)["cancelled"]

    with client.images.generate(
        model="any", prompt="x", n=10, size="2048x2048", stream=True, partial_images=3
    ) as stream:
        next(iter(stream))

    eventually(lambda: queue_stats(echo_server.url)["active"] == 0)
    assert queue_stats(echo_server.url)["cancelled"] == before + 1


def test_the_command_paints_and_edits_with_a_server_of_its_own(echo_server: LiveServer, tmp_path: Path) -> None:
    cube, blue = tmp_path / "cube.png", tmp_path / "blue.webp"

    for arguments in (
        ["a red cube", "-o", str(cube), "--size", "128x64", "--seed", "5", "--steps", "3"],
        ["a blue cube", "-o", str(blue), "--edit", str(cube), "--launch", "--model-type echo"],
    ):
        subprocess.run(
            [COMMAND, "image", "--url", echo_server.url, *arguments],
            env=clean_environment(), check=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip

    painted, edited = Image.open(cube), Image.open(blue)
    assert (painted.size, painted.info["seed"], painted.info["steps"]) == ((128, 64), "5", "3")
    assert (edited.format, edited.size) == ("WEBP", (128, 64))
