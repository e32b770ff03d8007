"""Weights laid out for the BLAS: another order in memory, the same numbers and the same outputs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache

from providers.engines.cpu import weight_layout as layout
from providers.engines.cpu.weight_layout import lay_out_for_blas, lay_out_weights
from providers.engines.language.loading import load_language_model
from providers.engines.process import platform
from providers.spec import ModelSpec
from tests.unit.providers.engines import tiny

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a Mac's CPU is not preloaded with a BLAS")
NO_BLAS = "none"


def loaded(folder: Path, monkeypatch: pytest.MonkeyPatch, **spec: Any) -> Any:
    """The model as in its folder, without a BLAS to lay the weights out for."""
    monkeypatch.setenv(platform.BLAS_VARIABLE, NO_BLAS)
    model = load_language_model(ModelSpec(name="tiny", path=str(folder), **spec), "cpu", lambda *_: None).model
    monkeypatch.delenv(platform.BLAS_VARIABLE)
    return model


def by_columns(weight: mx.array) -> bool:
    return np.array(weight, copy=False).flags.f_contiguous and not np.array(weight, copy=False).flags.c_contiguous


@pytest.mark.parametrize("tied", [True, False])
def test_the_same_numbers_lie_in_another_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tied: bool) -> None:
    model = loaded(tiny.write_folder(tmp_path, tie_word_embeddings=tied), monkeypatch)
    before = {name: np.array(array) for name, array in tree_flatten(model.parameters())}

    lay_out_weights(model)

    after = dict(tree_flatten(model.parameters()))
    assert all(np.array_equal(array, np.array(after[name])) for name, array in before.items())
    linear = [module.weight for _, module in model.named_modules() if isinstance(module, nn.Linear)]
    assert len(linear) == 14 + (not tied)
    assert all(map(by_columns, linear))
    # A table that is only looked up stays as it was.
    assert by_columns(model.model.embed_tokens.weight) == tied


def test_a_tall_matrix_keeps_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "_TALL", 3)
    model = nn.Linear(5, 11, bias=False)
    before = np.array(model.weight)

    lay_out_weights(model)

    assert np.array_equal(np.array(model.weight), before)
    assert by_columns(model.weight)


@pytest.mark.parametrize("rows", [1, 8])
def test_prompts_and_steps_give_the_same_logits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    folder = tiny.write_folder(tmp_path)
    models = [loaded(folder, monkeypatch), loaded(folder, monkeypatch)]
    lay_out_weights(models[1])
    prompt = mx.random.randint(0, 200, (rows, 30), key=mx.random.key(1))
    caches = [make_prompt_cache(model) for model in models]

    for tokens in (prompt, prompt[:, :1], prompt[:, 1:2]):
        plain, laid_out = (model(tokens, cache=cache) for model, cache in zip(models, caches, strict=True))
        assert mx.allclose(plain, laid_out, rtol=1e-4, atol=1e-4)
        assert mx.array_equal(plain.argmax(-1), laid_out.argmax(-1))


def test_quantised_weights_stay_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(tiny.write_folder(tmp_path), monkeypatch, quantize=8)
    prompt = mx.arange(12)[None]
    before = model(prompt)

    lay_out_weights(model)

    assert mx.array_equal(model(prompt), before)


@on_linux
def test_a_model_on_the_linux_cpu_is_laid_out_where_there_is_a_blas(tiny_folder: Path) -> None:
    if platform.find_blas() is None:
        pytest.skip("no BLAS is installed")

    model = load_language_model(ModelSpec(name="tiny", path=str(tiny_folder)), "cpu", lambda *_: None).model

    assert by_columns(model.layers[0].mlp.up_proj.weight)


@pytest.mark.parametrize(("device", "blas"), [("cpu", NO_BLAS), ("metal", None), ("cuda", None)])
def test_elsewhere_weights_stay_as_they_are(monkeypatch: pytest.MonkeyPatch, device: str, blas: str | None) -> None:
    if blas is not None:
        monkeypatch.setenv(platform.BLAS_VARIABLE, blas)
    model = nn.Linear(5, 11)

    lay_out_for_blas(model, device)

    assert not by_columns(model.weight)
