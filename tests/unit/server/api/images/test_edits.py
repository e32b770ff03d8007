"""Responses of `/v1/images/edits`: what is changed, and the files that are refused."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest
from litestar import Litestar
from openai.types import ImageEditCompletedEvent, ImageEditPartialImageEvent, ImagesResponse
from PIL import Image

from providers.image.types import SourceImage
from tests.unit.server.api.images.painting import BODY, EDITS, ScriptedPainter, app_of, echoing, file_of, opened, white
from tests.unit.server.harness import Exchange, ask, start

File = tuple[str, bytes]

GREEN = (0, 160, 0)
PNG = file_of(Image.new("RGB", (64, 96), GREEN))


@pytest.fixture
async def app() -> Litestar:
    return await echoing()


def begin(app: Litestar, *images: bytes, name: str = "image", mask: bytes | None = None, **fields: Any) -> Exchange:
    """Send a form and return immediately. A field that is None is left out."""
    files: list[tuple[str, File]] = [(name, ("a.png", image)) for image in images]
    if mask is not None:
        files.append(("mask", ("mask.png", mask)))
    data = {key: str(value) for key, value in {**BODY, "size": "auto", **fields}.items() if value is not None}
    given = httpx.Request("POST", "http://test/", data=data, files=files or [("x", ("x", b""))])
    headers = {"content-type": given.headers["content-type"]}
    return start(app, path=EDITS, content=given.read(), headers=headers)


async def edit(app: Litestar, *images: bytes, **fields: Any) -> Exchange:
    return await begin(app, *images, **fields).finished()


async def test_an_edit_has_the_size_of_its_source_and_depends_on_it(app: Litestar) -> None:
    answer = await edit(app, PNG)
    other = await edit(app, file_of(Image.new("RGB", (64, 96), (200, 0, 0))))

    parsed = ImagesResponse.model_validate(answer.json, strict=True)
    assert parsed.data is not None
    assert parsed.data[0].b64_json is not None
    assert parsed.size == "64x96"
    assert opened(parsed.data[0].b64_json).size == (64, 96)
    assert parsed.usage is not None
    assert parsed.usage.input_tokens_details.image_tokens == 4 * 6
    assert answer.json["data"][0]["seed"] == 1
    assert parsed.data[0].b64_json != other.json["data"][0]["b64_json"]


@pytest.mark.parametrize("name", ["image", "image[]"])
async def test_several_images_reach_the_model_in_order(name: str) -> None:
    painter = ScriptedPainter(white)
    sides = (64, 80, 96)

    answer = await edit(
        await app_of(painter), *(file_of(Image.new("RGB", (side, 64), GREEN)) for side in sides), name=name
    )

    assert answer.status == 200
    assert [(source.width, source.height) for source in painter.requests[0].sources] == [(side, 64) for side in sides]
    assert painter.requests[0].sources[0].pixels == bytes(GREEN) * 64 * 64


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
async def test_a_format_is_known_by_its_content(app: Litestar, form: str) -> None:
    assert (await edit(app, file_of(Image.new("RGB", (64, 64), GREEN), form))).status == 200


async def test_only_what_the_mask_shows_changes(app: Litestar) -> None:
    opaque = np.full((96, 64, 4), 255, np.uint8)
    opaque[:48, :, 3] = 0
    black = np.zeros((96, 64), np.uint8)
    black[:48] = 255

    for mask in (Image.fromarray(opaque), Image.fromarray(black)):
        answer = await edit(app, PNG, mask=file_of(mask))
        made = np.asarray(opened(answer.json["data"][0]["b64_json"]))
        assert (made[48:] == GREEN).all()
        assert (made[:48] != GREEN).any(axis=2).all()


async def test_parameters_of_a_form_reach_the_model() -> None:
    painter = ScriptedPainter(white)

    answer = await edit(await app_of(painter), PNG, n="2", steps="5", guidance="2.5", strength="0.25", size="128x64")

    request = painter.requests[0]
    assert answer.status == 200
    assert (request.n, request.steps, request.guidance, request.strength) == (2, 5, 2.5, 0.25)
    assert (request.width, request.height) == (128, 64)
    assert request.sources == [SourceImage(64, 96, bytes(GREEN) * 64 * 96)]


@pytest.mark.parametrize(
    ("source", "size"), [((100, 60), "96x64"), ((3000, 2000), "1536x1024"), ((1, 1), "64x64"), ((2048, 16), "2048x64")]
)
async def test_auto_follows_the_source_as_far_as_models_can(source: tuple[int, int], size: str) -> None:
    answer = await edit(await app_of(ScriptedPainter(white)), file_of(Image.new("RGB", source, GREEN)))

    assert answer.json["size"] == size


async def test_a_stream_has_the_names_of_edits(app: Litestar) -> None:
    answer = await edit(app, PNG, stream="true", partial_images="1")

    partial, completed = answer.chunks
    assert ImageEditPartialImageEvent.model_validate(partial, strict=True).partial_image_index == 0
    assert ImageEditCompletedEvent.model_validate(completed, strict=True).size == "64x96"


HUGE = PNG[:16] + (30_000).to_bytes(4, "big") * 2 + PNG[24:]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PNG[:60], "damaged"),
        (HUGE, ""),
        (b"", ""),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<!doctype html><title>x</title>", "HTML"),
        (b"%PDF-1.7", "PDF"),
        (b"hello", "no picture"),
    ],
)
async def test_what_is_no_image_is_refused(app: Litestar, content: bytes, message: str) -> None:
    answer = await edit(app, content)

    assert answer.status == 400
    assert answer.error["param"] == "image"
    assert message in answer.error["message"]


@pytest.mark.parametrize(
    ("images", "fields", "param"),
    [
        ((), {}, "image"),
        ((PNG, b"hello"), {}, "image[1]"),
        ((PNG,) * 17, {}, "image"),
        ((PNG,), {"mask": file_of(Image.new("L", (32, 32)))}, "mask"),
        ((PNG,), {"mask": b"hello"}, "mask"),
        ((PNG,), {"prompt": None}, "prompt"),
        ((PNG,), {"n": "100"}, "n"),
        ((PNG,), {"size": "17x9"}, "size"),
        ((PNG,), {"strength": "2"}, "strength"),
        ((PNG,), {"background": "transparent"}, "background"),
    ],
)
async def test_what_cannot_be_edited_is_refused(
    app: Litestar, images: tuple[bytes, ...], fields: dict[str, Any], param: str
) -> None:
    answer = await edit(app, *images, **fields)

    assert answer.status == 400
    assert answer.error["param"] == param


async def test_images_that_are_too_large_together_are_refused(app: Litestar) -> None:
    large = file_of(Image.new("RGB", (2048, 2048), GREEN), "JPEG")

    answer = await edit(app, *(large,) * 5)

    assert answer.status == 400
    assert "16,777,216 pixels together" in answer.error["message"]


async def test_a_form_is_required(app: Litestar) -> None:
    assert (await ask(app, path=EDITS, json=BODY)).status == 415
