"""Responses of `/v1/images/generations`: files, events, and the requests that are refused."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import Any

import pytest
from litestar import Litestar
from openai.types import ImageGenCompletedEvent, ImageGenPartialImageEvent, ImagesResponse

from tests.unit.server.api.images.painting import (
    BODY,
    PATH,
    ScriptedPainter,
    app_of,
    begin,
    echoing,
    endless,
    opened,
    paint,
    white,
)
from tests.unit.server.harness import WAIT, ask

JPEG_QUALITY = {"output_format": "jpeg", "output_compression": 10}


@pytest.fixture
async def app() -> Litestar:
    return await echoing()


async def files_of(app: Litestar, **fields: Any) -> list[str]:
    return [image["b64_json"] for image in (await paint(app, **fields)).json["data"]]


async def test_an_image_has_the_requested_size_and_is_described_as_openai_does(app: Litestar) -> None:
    answer = await paint(app, size="128x64", steps=3)

    parsed = ImagesResponse.model_validate(answer.json, strict=True)
    assert parsed.data is not None
    assert parsed.data[0].b64_json is not None
    image = opened(parsed.data[0].b64_json)
    assert (image.format, image.size, image.mode) == ("PNG", (128, 64), "RGB")
    assert (parsed.size, parsed.output_format, parsed.background) == ("128x64", "png", "opaque")
    assert parsed.usage is not None
    assert parsed.usage.output_tokens == 8 * 4
    assert parsed.usage.input_tokens_details.text_tokens == len(BODY["prompt"])
    assert answer.json["model"] == "echo"
    assert answer.json["data"][0]["seed"] == 1
    assert answer.json["data"][0]["steps"] == 3
    assert answer.headers["x-request-id"] == answer.json["request_id"]


async def test_equal_requests_make_equal_files_and_another_seed_or_prompt_another(app: Litestar) -> None:
    first, same = await files_of(app), await files_of(app)
    assert first == same
    assert first != await files_of(app, seed=2)
    assert first != await files_of(app, prompt="a blue cube")


@pytest.mark.parametrize("seed", [None, -1])
async def test_without_a_seed_one_is_drawn_and_reported(app: Litestar, seed: int | None) -> None:
    one, other = [(await paint(app, seed=seed)).json["data"][0] for _ in range(2)]

    assert one["seed"] != other["seed"]
    assert await files_of(app, seed=one["seed"]) == [one["b64_json"]]


async def test_several_images_have_seeds_that_follow_each_other(app: Litestar) -> None:
    images = (await paint(app, n=3, seed=2**32 - 1)).json["data"]

    assert [image["seed"] for image in images] == [2**32 - 1, 0, 1]
    assert [images[1]["b64_json"]] == await files_of(app, seed=0)


@pytest.mark.parametrize(
    ("output_format", "form"), [("png", "PNG"), ("jpeg", "JPEG"), ("jpg", "JPEG"), ("webp", "WEBP")]
)
async def test_every_format_has_its_seed_steps_and_model_as_metadata(
    app: Litestar, output_format: str, form: str
) -> None:
    answer = await paint(app, output_format=output_format, steps=2)

    image = opened(answer.json["data"][0]["b64_json"])
    assert (image.format, image.size) == (form, (64, 64))
    assert answer.json["output_format"] == form.lower()
    if form == "PNG":
        assert image.info["Software"] == "mlx-openai-server"
        assert (image.info["seed"], image.info["steps"], image.info["model"]) == ("1", "2", "echo")
    else:
        comment = image.getexif().get_ifd(0x8769)[0x9286]
        assert image.getexif()[0x0131] == "mlx-openai-server"
        assert comment.removeprefix(b"UNICODE\0").decode("utf-16-be") == '{"model": "echo", "seed": 1, "steps": 2}'


async def test_compression_makes_smaller_jpegs(app: Litestar) -> None:
    [small], [large] = await files_of(app, **JPEG_QUALITY), await files_of(app, output_format="jpeg")

    assert len(small) < len(large)


async def test_a_url_is_a_data_url(app: Litestar) -> None:
    [image] = (await paint(app, response_format="url")).json["data"]

    assert "b64_json" not in image
    assert opened(image["url"].removeprefix("data:image/png;base64,")).size == (64, 64)


@pytest.mark.parametrize("size", ["64X128", "64×128", " 64 x 128 ", "64*128"])
async def test_a_size_is_read_as_it_is_meant(app: Litestar, size: str) -> None:
    assert (await paint(app, size=size)).json["size"] == "64x128"


@pytest.mark.parametrize("size", [None, "auto"])
async def test_without_a_size_an_image_has_1024_pixels_each_way(size: str | None) -> None:
    painter = ScriptedPainter(white)
    app = await app_of(painter)

    assert (await paint(app, size=size, output_format="jpeg")).json["size"] == "1024x1024"
    assert (painter.requests[0].width, painter.requests[0].height) == (1024, 1024)


async def test_parameters_reach_the_model() -> None:
    painter = ScriptedPainter(white)
    app = await app_of(painter)

    await paint(app, guidance_scale=3.5, negative_prompt="text", steps=9, timeout=5)

    request = painter.requests[0]
    assert (request.guidance, request.negative_prompt, request.steps, request.timeout) == (3.5, "text", 9, 5)
    assert (request.seed, request.n, request.partial_images) == (1, 1, 0)


@pytest.mark.parametrize(
    ("fields", "noted"),
    [
        ({"quality": "hd"}, "quality"),
        ({"quality": "auto"}, None),
        ({"style": "vivid"}, "style"),
        ({"moderation": "low"}, None),
        ({"user": "me"}, "user"),
        ({"partial_images": 2}, "partial_images"),
        ({"output_compression": 50}, "output_compression"),
        ({"output_compression": 100}, None),
        ({"background": "opaque"}, None),
        ({"loras": []}, "loras"),
    ],
)
async def test_what_has_no_effect_is_noted(app: Litestar, fields: dict[str, Any], noted: str | None) -> None:
    answer = await paint(app, **fields)

    assert answer.status == 200
    assert answer.headers.get("x-ignored-parameters") == noted


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"size": "17x9"}, "size", "17x9 is not possible; width and height must be multiples of 16 from 64 to 4096"),
        ({"size": "30000x30000"}, "size", "from 64 to 4096"),
        ({"size": "4096x4096"}, "size", "16,777,216 pixels; at most 4,194,304"),
        ({"size": "large"}, "size", "expected 'auto' or WIDTHxHEIGHT like '1024x768', not 'large'"),
        ({"size": "99999999999999999999x64"}, "size", "expected 'auto'"),
        ({"n": 100}, "n", "10"),
        ({"n": 0}, "n", "1"),
        ({"prompt": "x" * 32_001}, "prompt", "32000"),
        ({"prompt": " \n"}, "prompt", "must not be empty"),
        ({"prompt": ""}, "prompt", ""),
        ({"prompt": None}, "prompt", ""),
        ({"seed": 2**32}, "seed", "4294967295"),
        ({"steps": 0}, "steps", "1"),
        ({"steps": 10**6}, "steps", "200"),
        ({"guidance": -1}, "guidance", "0"),
        ({"guidance": 3, "guidance_scale": 4}, "guidance_scale", "they mean the same"),
        ({"output_format": "svg"}, "output_format", "webp"),
        ({"response_format": "file"}, "response_format", "b64_json"),
        ({"partial_images": 4}, "partial_images", "3"),
        ({"output_compression": 101}, "output_compression", "100"),
        ({"background": "transparent"}, "background", "not supported by this server"),
    ],
)
async def test_what_cannot_be_painted_is_refused(
    app: Litestar, fields: dict[str, Any], param: str, message: str
) -> None:
    answer = await paint(app, **fields)

    assert answer.status == 400
    assert answer.error["param"] == param
    assert message in answer.error["message"]


async def test_variations_are_refused_by_name(app: Litestar) -> None:
    answer = await ask(app, path="/v1/images/variations", json={"image": "x"})

    assert answer.status == 404
    assert "/v1/images/edits" in answer.error["message"]


async def test_a_stream_has_previews_then_each_image_then_done(app: Litestar) -> None:
    answer = await paint(app, stream=True, partial_images=2, n=2, steps=4, size="256x256")

    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.chunks
    assert [(event["type"], event["index"]) for event in events] == [
        (f"image_generation.{kind}", index)
        for index in range(2)
        for kind in ("partial_image", "partial_image", "completed")
    ]
    assert re.findall(rb"^event: (.*)$", answer.body, re.MULTILINE) == [event["type"].encode() for event in events]
    partial = [ImageGenPartialImageEvent.model_validate(event, strict=True) for event in events[:2]]
    completed = ImageGenCompletedEvent.model_validate(events[2], strict=True)
    assert [event.partial_image_index for event in partial] == [0, 1]
    pictures = [opened(event.b64_json) for event in (*partial, completed)]
    assert {picture.size for picture in pictures} == {(256, 256)}
    assert len({picture.tobytes() for picture in pictures}) == 3
    assert completed.usage.input_tokens == len(BODY["prompt"])
    assert events[5]["usage"]["input_tokens"] == 0
    assert [events[2]["b64_json"], events[5]["b64_json"]] == await files_of(app, n=2, steps=4, size="256x256")


async def test_steps_are_comments_of_a_stream(app: Litestar) -> None:
    answer = await paint(app, stream=True, n=2, steps=2)

    steps = re.findall(rb"^: (image.*)$", answer.body, re.MULTILINE)
    assert steps == [f"image {image}/2 step {step}/2".encode() for image in (1, 2) for step in (1, 2)]


async def test_a_stream_without_previews_is_one_event_for_each_image(app: Litestar) -> None:
    answer = await paint(app, stream=True, response_format="url")

    assert [event["type"] for event in answer.chunks] == ["image_generation.completed"]
    assert answer.headers.get("x-ignored-parameters") == "response_format"


async def test_a_failure_between_steps_is_an_error_event() -> None:
    answer = await paint(await echoing("delay=0.01&fail_after=2"), stream=True)
    assert answer.chunks[-1]["error"]["code"] == "engine_crashed"

    whole = await paint(await echoing("fail_after=2"))
    assert (whole.status, whole.error["code"]) == (503, "engine_crashed")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_disconnect_ends_the_work(stream: bool) -> None:
    painter = ScriptedPainter(endless)
    exchange = begin(await app_of(painter), stream=stream)
    async with asyncio.timeout(WAIT):
        await painter.started.wait()
        exchange.disconnect()
        await painter.closed.wait()
    await exchange.finished()

    assert painter.queue_stats.cancelled == 1


async def test_a_timeout_is_504(app: Litestar) -> None:
    answer = await paint(await app_of(ScriptedPainter(endless)), timeout=0.05)

    assert answer.status == 504


async def test_a_json_body_is_required(app: Litestar) -> None:
    answer = await ask(app, path=PATH, content=b"prompt=x", headers={"content-type": "text/plain"})

    assert answer.status == 415


async def test_pixels_are_encoded_as_they_are() -> None:
    [image] = (await paint(await app_of(ScriptedPainter(white)))).json["data"]

    assert set(opened(base64.b64decode(image["b64_json"])).tobytes()) == {255}
