"""What a client sees of the echo model."""

from collections.abc import Sequence
from contextlib import aclosing

import numpy as np
import pytest

from providers.echo.provider import EchoProvider
from providers.errors import EngineCrashed, GenerationTimeout
from providers.image.types import (
    ImageAccepted,
    ImageEvent,
    ImageFinished,
    ImagePreview,
    ImageProgress,
    ImageRequest,
    SourceImage,
)
from providers.spec import ModelSpec


async def echo(path: str = "") -> EchoProvider:
    provider = EchoProvider(ModelSpec(name="echo", path=path, model_type="echo"))
    await provider.start()
    return provider


async def paint(provider: EchoProvider, prompt: str = "a cube", **fields: object) -> list[ImageEvent]:
    request = ImageRequest(**({"id": "r1", "prompt": prompt, "width": 64, "height": 32, "seed": 1} | fields))
    async with aclosing(provider.generate(request)) as events:
        return [event async for event in events]


def finished(events: Sequence[ImageEvent]) -> list[ImageFinished]:
    return [event for event in events if isinstance(event, ImageFinished)]


async def test_an_image_has_its_size_and_comes_after_its_steps():
    accepted, *steps, image = await paint(await echo(), steps=3)

    assert accepted == ImageAccepted(64, 32, 3, 1)
    assert steps == [ImageProgress(0, step, 3) for step in (1, 2, 3)]
    assert (image.width, image.height, len(image.pixels), image.seed, image.steps) == (64, 32, 64 * 32 * 3, 1, 3)


async def test_a_request_with_several_images_takes_one_place():
    provider = await echo()

    images = finished(await paint(provider, n=3, seed=2**32 - 2))

    assert [(image.index, image.seed) for image in images] == [(0, 2**32 - 2), (1, 2**32 - 1), (2, 0)]
    assert (provider.queue_stats.completed, provider.queue_stats.active) == (1, 0)


@pytest.mark.parametrize(
    "fields",
    [{"prompt": "a ball"}, {"seed": 2}, {"steps": 9}, {"guidance": 2.0}, {"negative_prompt": "red"}, {"strength": 0.5}],
)
async def test_every_parameter_changes_the_picture(fields: dict[str, object]):
    provider = await echo()
    first, same, other = [finished(await paint(provider, **given))[0].pixels for given in ({}, {}, fields)]

    assert first == same
    assert first != other


@pytest.mark.parametrize(("wanted", "steps", "made"), [(0, 4, 0), (3, 4, 3), (3, 2, 1), (2, 20, 2), (3, 1, 0)])
async def test_previews_come_between_the_steps_and_closer_to_the_picture(wanted: int, steps: int, made: int):
    events = await paint(await echo(), partial_images=wanted, steps=steps)

    previews = [event for event in events if isinstance(event, ImagePreview)]
    assert [preview.number for preview in previews] == list(range(made))
    assert isinstance(events[-2], ImageProgress)
    final, *shown = [np.frombuffer(each.pixels, np.uint8).astype(int) for each in (*finished(events), *previews)]
    distances = [np.abs(each - final).mean() for each in shown]
    assert distances == sorted(distances, reverse=True)


async def test_an_edit_changes_only_what_the_mask_shows():
    source = SourceImage(32, 16, bytes((10, 200, 30)) * 32 * 16)
    half = bytes((255, 255, 255)) * 32 * 8 + bytes(32 * 8 * 3)
    [image] = finished(await paint(await echo(), sources=[source], mask=SourceImage(32, 16, half)))

    made = np.frombuffer(image.pixels, np.uint8).reshape(32, 64, 3)
    assert (made[16:] == (10, 200, 30)).all()
    assert (made[:16] != (10, 200, 30)).any(axis=2).all()


async def test_the_settings_slow_it_down_and_break_it_off():
    with pytest.raises(EngineCrashed, match="after 2 steps"):
        await paint(await echo("fail_after=2"))
    with pytest.raises(GenerationTimeout):
        await paint(await echo("delay=5"), timeout=0.05)
