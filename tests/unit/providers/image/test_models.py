"""The image model that the name of a path means."""

from __future__ import annotations

import pytest

from providers.image.models import CONFIG_NAMES, IMAGE_MODELS, config_in


@pytest.mark.parametrize(
    ("path", "config"),
    [
        ("black-forest-labs/FLUX.2-klein-4B", "flux2-klein-4b"),
        ("someone/FLUX.2-klein-base-9B-mflux-8bit", "flux2-klein-base-9b"),
        ("/models/flux2-klein-9b-kv/", "flux2-klein-9b-kv"),
        ("/models/flux2-klein", "flux2-klein-4b"),
        ("black-forest-labs/FLUX.1-schnell", "schnell"),
        ("black-forest-labs/FLUX.1-dev", "dev"),
        ("black-forest-labs/FLUX.1-Krea-dev", "krea-dev"),
        ("black-forest-labs/FLUX.1-Kontext-dev", "dev-kontext"),
        ("black-forest-labs/FLUX.1-Fill-dev", "dev-fill"),
        ("Tongyi-MAI/Z-Image-Turbo", "z-image-turbo"),
        ("Qwen/Qwen-Image-Edit-2509", "qwen-image-edit"),
        ("/schnell/my-finetune", None),
        ("/models/device-7", None),
    ],
)
def test_the_last_part_of_a_path_names_the_model(path: str, config: str | None) -> None:
    assert config_in(path) == config


def test_names_are_lower_case_and_of_one_model() -> None:
    names = [name for row in IMAGE_MODELS.values() for name in (row.config, *row.names)]

    assert len(names) == len(set(names)) == len(CONFIG_NAMES)
    assert all(name == name.lower() for name in names)
