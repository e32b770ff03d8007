"""The table of image models against mflux's own tables and classes."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

pytest.importorskip("mflux", reason="the extra `images` is not installed")

from mflux.callbacks.callback_registry import CallbackRegistry
from mflux.models.common.config.model_config import AVAILABLE_MODELS

from providers.capabilities import load
from providers.engines.image.mflux_internals import default_steps
from providers.image.models import CONFIG_NAMES, IMAGE_MODELS, ImageModel

KNOWN = {"seed", "prompt", "num_inference_steps", "width", "height", "image_path", "image_paths", "masked_image_path"}
"""Parameters of mflux's calls that a job may have, and that a class may require."""

rows = pytest.mark.parametrize("row", IMAGE_MODELS.values(), ids=IMAGE_MODELS)


@rows
def test_a_row_is_mfluxs(row: ImageModel) -> None:
    assert row.config in AVAILABLE_MODELS
    assert default_steps(row.config) in range(4, 51)
    assert row.generator or row.editor
    assert callable(load(row.latents).unpack_latents)
    assert load(row.weights).get_download_patterns()


@rows
def test_a_rows_classes_take_what_the_engine_passes(row: ImageModel) -> None:
    for painter in filter(None, (row.generator, row.editor)):
        made: Any = load(painter)
        assert {"quantize", "model_path", "model_config"} <= set(inspect.signature(made).parameters)
        parameters = inspect.signature(made.generate_image).parameters.values()
        required = {each.name for each in parameters if each.default is inspect.Parameter.empty} - {"self"}
        assert {"seed", "prompt"} <= required <= KNOWN
        assert {"num_inference_steps", "width", "height"} <= {each.name for each in parameters}
        reads = {"image_path", "image_paths"} & {each.name for each in parameters}
        assert painter == row.generator or reads
        assert "callbacks.start(" in inspect.getsource(made.generate_image)


@rows
def test_mfluxs_aliases_of_a_row_mean_the_same_here(row: ImageModel) -> None:
    for alias in AVAILABLE_MODELS[row.config].aliases:
        assert CONFIG_NAMES.get(alias.lower(), row.config) == row.config


def test_mflux_has_the_three_callbacks() -> None:
    callbacks = CallbackRegistry()

    assert (callbacks.before_loop, callbacks.in_loop, callbacks.after_loop) == ([], [], [])
