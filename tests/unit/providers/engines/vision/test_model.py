"""What the wrapper asks of the language models of mlx-vlm."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from mlx_lm.models.cache import KVCache
from mlx_vlm.models import cache as mlx_vlm_cache

from providers.engines.process.engine import EngineLoadError
from providers.engines.vision.model import SeeingModel
from providers.engines.vision.positions import PositionCache


class Language:
    def __init__(self, *layers: Any) -> None:
        self._layers = layers

    def make_cache(self) -> list[Any]:
        return [*self._layers]


class Model:
    def __init__(self, *layers: Any) -> None:
        self.language_model = Language(*layers)


def test_caches_of_mlx_vlm_become_those_that_can_be_batched() -> None:
    model = SeeingModel(Model(mlx_vlm_cache.KVCache(), KVCache()), Any, has_grid=True)  # type: ignore[arg-type]

    assert [type(layer) for layer in model.make_cache()] == [KVCache, KVCache, PositionCache]


def test_other_caches_of_mlx_vlm_are_refused_by_name() -> None:
    model = SeeingModel(Model(mlx_vlm_cache.SimpleKVCache()), Any, has_grid=False)  # type: ignore[arg-type]

    with pytest.raises(EngineLoadError, match="SimpleKVCache"):
        model.make_cache()


def test_models_without_pictures_need_nothing_of_the_extra() -> None:
    absent = "import sys; sys.modules.update(dict.fromkeys(('PIL', 'mlx_vlm')))"

    subprocess.run([sys.executable, "-c", f"{absent}; import providers.engines.language.engine"], check=True)
