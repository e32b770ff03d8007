"""Images of a small model in the engine, against mflux's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest

pytest.importorskip("mflux", reason="the extra `images` is not installed")
from mflux.callbacks.callback_registry import CallbackRegistry
from PIL import Image

from providers.engine_host.frames import Generate
from providers.engines.process.engine import EngineLoadError
from providers.errors import InvalidRequest, UnsupportedParameter
from providers.image.types import (
    ImageAccepted,
    ImageFinished,
    ImagePreview,
    ImageProgress,
    ImageRequest,
    SourceImage,
)
from tests.unit.providers.engines.image.conftest import Driver


def of(events: list[Any], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def array(event: ImageFinished | ImagePreview) -> np.ndarray:
    return np.frombuffer(event.pixels, np.uint8).astype(np.float32)


def picture(seed: int = 0, width: int = 64, height: int = 64) -> SourceImage:
    drawn = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return SourceImage(width, height, drawn.tobytes())


def own(driver: Driver, **arguments: Any) -> bytes:
    """The pixels of mflux's own call, without the engine's callbacks."""
    model = driver.engine._loaded.model
    callbacks, model.callbacks = model.callbacks, CallbackRegistry()
    try:
        return model.generate_image(**arguments).image.tobytes()
    finally:
        model.callbacks = callbacks


def test_an_image_has_the_bytes_of_mfluxs_own(generator: Driver) -> None:
    accepted, *rest = generator.answer(steps=3)

    image = own(generator, prompt="a red cube", num_inference_steps=3, width=64, height=64, seed=1)

    assert accepted == ImageAccepted(64, 64, 3, 1)
    assert of(rest, ImageProgress) == [ImageProgress(0, step, 3) for step in (1, 2, 3)]
    [finished] = of(rest, ImageFinished)
    assert (finished.width, finished.height, finished.seed, finished.steps) == (64, 64, 1, 3)
    assert finished.pixels == image


def test_a_seed_decides_the_image_and_images_of_a_request_have_seeds_in_a_row(generator: Driver) -> None:
    first, second = of(generator.answer(n=2, seed=5, steps=1), ImageFinished)
    [again] = of(generator.answer(seed=6, steps=1), ImageFinished)

    assert (first.index, first.seed, second.index, second.seed) == (0, 5, 1, 6)
    assert first.pixels != second.pixels
    assert second.pixels == again.pixels


def test_without_a_seed_each_request_has_its_own(generator: Driver) -> None:
    request = ImageRequest(id="r", prompt="x", width=64, height=64)
    seeds = {generator.engine.prepare(Generate(request)).seed for _ in range(3)}

    assert len(seeds) == 3


def test_previews_come_between_steps_differ_and_approach_the_image(generator: Driver) -> None:
    events = generator.answer(steps=3, partial_images=2)

    kinds = [type(event) for event in events if not isinstance(event, ImageAccepted)]
    assert kinds == [ImageProgress, ImagePreview] * 2 + [ImageProgress, ImageFinished]
    previews, [finished] = of(events, ImagePreview), of(events, ImageFinished)
    assert [preview.number for preview in previews] == [0, 1]
    assert len({finished.pixels, *(preview.pixels for preview in previews)}) == 3
    distances = [float(np.abs(array(preview) - array(finished)).mean()) for preview in previews]
    assert distances == sorted(distances, reverse=True)


@pytest.mark.parametrize(
    ("wanted", "steps", "after"),
    [(1, 4, [2]), (3, 2, [1]), (2, 1, []), (0, 4, []), (3, 4, [1, 2, 3]), (2, 50, [17, 34])],
)
def test_previews_are_spread_over_the_steps(generator: Driver, wanted: int, steps: int, after: list[int]) -> None:
    request = ImageRequest(id="r", prompt="x", width=64, height=64, steps=steps, partial_images=wanted)
    job = generator.engine.prepare(Generate(request))

    due = [job.previews_after(step) for step in range(steps + 1)]
    assert [step for step in range(1, steps) if due[step] > due[step - 1]] == after


def test_a_cancelled_request_ends_within_a_step_and_the_next_one_is_as_ever(generator: Driver, plain: bytes) -> None:
    generator.submit(ImageRequest(id="gone", prompt="never", width=64, height=64, seed=1, steps=50))
    for _ in range(5):
        generator.step()
    assert len(of(generator.events["gone"], ImageProgress)) == 3  # accepted, encoded, three steps

    generator.engine.cancel("gone")

    assert not generator.engine.busy
    assert generator.answer(steps=1)[-1].pixels == plain
    assert not of(generator.events["gone"], ImageFinished)


def test_requests_take_turns_step_by_step_and_get_the_images_they_would_get_otherwise(generator: Driver) -> None:
    alone = generator.answer(seed=2, steps=2)[-1].pixels
    for seed in (1, 2):
        generator.submit(ImageRequest(id=f"t{seed}", prompt="a red cube", width=64, height=64, seed=seed, steps=2))

    order = []
    while generator.engine.busy:
        before = {id: len(events) for id, events in generator.events.items()}
        generator.step()
        order += [id for id, events in generator.events.items() if len(events) > before.get(id, 0)]

    assert order[2:6] == ["t1", "t2", "t1", "t2"]
    assert generator.events["t2"][-1].pixels == alone


def test_a_late_request_takes_every_other_turn(generator: Driver) -> None:
    for id, turns in (("early", 5), ("late", 7)):
        generator.submit(ImageRequest(id=id, prompt="a red cube", width=64, height=64, seed=1, steps=50))
        for _ in range(turns):
            generator.step()

    steps = [len(of(generator.events[id], ImageProgress)) for id in ("early", "late")]

    for id in ("early", "late"):
        generator.engine.cancel(id)
    assert steps == [6, 2]  # of early alone 3; then late is accepted and encoded


def test_a_request_whose_time_is_over_fails_between_two_steps(generator: Driver) -> None:
    generator.submit(ImageRequest(id="late", prompt="x", width=64, height=64, seed=1, steps=50, timeout=0.0))
    generator.drain()

    assert generator.failures.pop("late").code == "timeout"


def test_guidance_changes_the_image(generator: Driver, plain: bytes) -> None:
    assert generator.answer(steps=1, guidance=4.0)[-1].pixels != plain


def test_a_generator_continues_an_image(generator: Driver) -> None:
    source = picture()
    far = generator.answer(steps=4, sources=[source])
    near = generator.answer(steps=4, sources=[source], strength=0.75)

    assert [[event.step for event in of(events, ImageProgress)] for events in (far, near)] == [[2, 3, 4], [4]]
    assert of(near, ImageFinished)[0].pixels != of(far, ImageFinished)[0].pixels


def test_an_edit_depends_on_its_sources_and_is_mfluxs_own(editor: Driver, tmp_path: Path) -> None:
    one, other = (
        of(editor.answer(steps=2, sources=sources), ImageFinished)[0].pixels
        for sources in ([picture(1)], [picture(1), picture(2, 96, 64)])
    )

    path = tmp_path / "source.png"
    Image.frombytes("RGB", (64, 64), picture(1).pixels).save(path)
    arguments = {"num_inference_steps": 2, "width": 64, "height": 64, "image_paths": [str(path)]}
    assert one == own(editor, prompt="a red cube", seed=1, **arguments)
    assert one != other


@pytest.mark.parametrize(
    ("fields", "param", "error"),
    [
        ({"negative_prompt": "blue"}, "negative_prompt", UnsupportedParameter),
        ({"mask": picture(), "sources": [picture()]}, "mask", UnsupportedParameter),
        ({"sources": [picture(), picture()]}, "image", UnsupportedParameter),
        ({"strength": 0.5}, "strength", UnsupportedParameter),
        ({"strength": 1.5, "sources": [picture()]}, "strength", InvalidRequest),
        ({"width": 32}, "size", InvalidRequest),
        ({"width": 8192, "height": 8192}, "size", InvalidRequest),
        ({"steps": 0}, "steps", InvalidRequest),
        ({"seed": -1}, "seed", InvalidRequest),
        ({"sources": [SourceImage(8, 8, b"")]}, "image", InvalidRequest),
    ],
)
def test_what_the_model_cannot_do_is_refused(generator: Driver, fields: Any, param: str, error: type) -> None:
    with pytest.raises(error) as refused:
        generator.answer(**fields)

    assert refused.value.param == param
    assert not generator.engine.busy


def test_an_editor_needs_an_image(editor: Driver) -> None:
    with pytest.raises(InvalidRequest, match="send one"):
        editor.answer()


def test_quantised_weights_give_another_image(load: Callable[..., Driver], plain: bytes) -> None:
    quantised = load(quantize=8)

    assert quantised.answer(steps=1)[-1].pixels != plain
    assert quantised.engine._loaded.dtype == "float32, quantised to 8 bits"


def test_an_adapter_changes_images_by_its_scale(load: Callable[..., Driver], plain: bytes, tmp_path: Path) -> None:
    layer = "transformer.transformer_blocks.0.attn.to_q"
    mx.random.seed(0)
    matrices = {
        f"{layer}.lora_{name}.weight": mx.random.normal(shape) for name, shape in (("A", (4, 64)), ("B", (64, 4)))
    }
    mx.save_safetensors(str(tmp_path / "adapter.safetensors"), matrices)

    with_it, without_effect = (
        load(lora_paths=(str(tmp_path),), lora_scales=(scale,)).answer(steps=1)[-1].pixels for scale in (1.0, 0.0)
    )

    assert with_it != plain
    assert without_effect == plain


def test_a_fault_of_one_request_leaves_the_others(generator: Driver, plain: bytes) -> None:
    for id in ("bad", "good"):
        generator.submit(ImageRequest(id=id, prompt="a red cube", width=64, height=64, seed=1, steps=1))
    bad = generator.engine._works["bad"]
    bad.job = attrs.evolve(bad.job, arguments={**bad.job.arguments, "prompt": None})

    generator.drain()

    assert generator.failures.pop("bad").code == "internal_error"
    assert generator.events["good"][-1].pixels == plain


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"config_name": None, "path": "/tmp/nowhere"}, "choose one with --config-name"),
        ({"config_name": "dev-kontext"}, "use --model-type image-edit"),
        ({"config_name": "schnell"}, "are missing"),
        ({"quantize": 2}, "not 2"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_why(load: Callable[..., Driver], fields: Any, message: str) -> None:
    with pytest.raises(EngineLoadError, match=message):
        load(**fields)
