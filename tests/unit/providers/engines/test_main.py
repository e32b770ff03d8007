"""The engine process makes the engine that the table names for its model type."""

from __future__ import annotations

from typing import Any

import pytest

from providers.capabilities import MODALITIES
from providers.engines import __main__ as main
from providers.engines.process.engine import EngineLoadError
from providers.engines.process.platform import Platform
from providers.spec import ModelSpec

PREPARED = Platform(device="cpu", blas="-", threads=1)


@pytest.fixture(autouse=True)
def untouched_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the log nor MLX is set up."""
    monkeypatch.setattr(main.platform, "prepare", lambda: PREPARED)
    monkeypatch.setattr(main, "_configure_logging", lambda **fields: None)


def fails_to_load(spec: ModelSpec) -> str:
    with pytest.raises(EngineLoadError) as caught:
        main.make_engine(spec).load(spec, lambda stage, fraction: None)
    return str(caught.value)


@pytest.mark.parametrize("model_type", [name for name, row in MODALITIES.items() if row.engine])
def test_a_model_type_has_the_engine_of_its_row(model_type: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "load", lambda import_string: lambda prepared: (import_string, prepared))

    engine = main.make_engine(ModelSpec(name="m", path="p", model_type=model_type))

    assert engine == (MODALITIES[model_type].engine, PREPARED)


@pytest.mark.parametrize("model_type", ["echo", "hologram"])
def test_a_model_type_without_an_engine_refuses_to_load(model_type: Any) -> None:
    assert "it has no engine" in fails_to_load(ModelSpec(name="m", path="p", model_type=model_type))


def test_an_engine_whose_libraries_do_not_import_refuses_to_load_with_the_extras_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(import_string: str) -> Any:
        raise ModuleNotFoundError("No module named 'thinc'")

    monkeypatch.setattr(main, "load", load)

    message = fails_to_load(ModelSpec(name="m", path="p", model_type="tts"))

    assert "No module named 'thinc'" in message
    assert "pip install 'mlx-openai-server-lab[speech]'" in message
    with pytest.raises(ModuleNotFoundError):
        main.make_engine(ModelSpec(name="m", path="p", model_type="lm"))
