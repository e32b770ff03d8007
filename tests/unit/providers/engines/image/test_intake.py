"""Which arguments mflux's call gets, for the classes whose weights are too large for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mflux", reason="the extra `images` is not installed")

from providers.capabilities import load
from providers.engines.image.intake import Defaults, ImageIntake
from providers.engines.image.loading import call_parameters
from providers.errors import InvalidRequest, UnsupportedParameter
from providers.image.models import IMAGE_MODELS
from providers.image.types import ImageRequest, SourceImage

WHITE = SourceImage(64, 64, bytes([255]) * (3 * 64 * 64))


def intake(config: str, model_type: str = "image-edit", *, guided: bool = True) -> ImageIntake:
    row = IMAGE_MODELS[config]
    parameters = call_parameters(load(row.painter(model_type) or "").generate_image)
    defaults = Defaults(steps=4, guidance=row.guidance)
    return ImageIntake(config, parameters, defaults, edits=model_type == "image-edit", guided=guided)


def request(**fields: Any) -> ImageRequest:
    return ImageRequest(**{"id": "r", "prompt": "a cube", "width": 72, "height": 64, "seed": 1, **fields})


def test_filling_takes_an_image_and_a_mask() -> None:
    job = intake("dev-fill").job(request(sources=[WHITE], mask=WHITE))

    files = {name: Path(job.arguments[name]).read_bytes() for name in ("image_path", "masked_image_path")}
    assert set(files.values()) == {b"P6 64 64 255\n" + WHITE.pixels}
    assert (job.arguments["guidance"], job.width, job.height) == (30.0, 64, 64)
    assert "image_strength" not in job.arguments


def test_filling_without_a_mask_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="send a mask"):
        intake("dev-fill").job(request(sources=[WHITE]))


def test_kontext_looks_at_one_image() -> None:
    job = intake("dev-kontext").job(request(sources=[WHITE]))

    assert (job.arguments["guidance"], Path(job.arguments["image_path"]).name) == (2.5, "0.ppm")
    with pytest.raises(UnsupportedParameter, match="takes one image, not 2"):
        intake("dev-kontext").job(request(sources=[WHITE, WHITE]))


@pytest.mark.parametrize("config", ["qwen-image-edit", "qwen-image-edit-2511", "flux2-klein-4b"])
def test_some_editors_look_at_several_images(config: str) -> None:
    job = intake(config).job(request(sources=[WHITE, WHITE]))

    assert [Path(path).name for path in job.arguments["image_paths"]] == ["0.ppm", "1.ppm"]


def test_an_editor_may_take_a_mask() -> None:
    job = intake("fibo-edit").job(request(sources=[WHITE], mask=WHITE, negative_prompt="blue"))

    assert Path(job.arguments["mask_path"]).name == "mask.ppm"
    assert job.arguments["negative_prompt"] == "blue"


def test_a_distilled_model_refuses_guidance_and_gets_none() -> None:
    schnell = intake("schnell", "image-generation", guided=False)

    assert "guidance" not in schnell.job(request()).arguments
    with pytest.raises(UnsupportedParameter, match="was distilled to need none"):
        schnell.job(request(guidance=3.0))


def test_the_files_of_sources_are_deleted_with_the_job() -> None:
    job = intake("dev-kontext").job(request(sources=[WHITE]))
    path = Path(job.arguments["image_path"])
    assert path.parent.stat().st_mode & 0o777 == 0o700

    del job

    assert not path.parent.exists()


def test_seeds_of_a_request_wrap_at_the_largest() -> None:
    job = intake("schnell", "image-generation").job(request(seed=2**32 - 1, n=2))

    assert [job.seed_of(index) for index in range(2)] == [2**32 - 1, 0]
