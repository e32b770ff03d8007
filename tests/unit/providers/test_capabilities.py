"""The table of capabilities agrees with everything that names a model type, a capability or an extra."""

from __future__ import annotations

import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from contracts.service.health import Health
from contracts.service.models import Model
from providers import extras
from providers.capabilities import MODALITIES, CapabilityName, Modality, ModelType, load
from providers.chat.protocol import CHAT, ChatProvider
from providers.embeddings.protocol import EMBEDDINGS, EmbeddingProvider
from providers.extras import Extra, is_importable
from providers.image.protocol import IMAGE, ImageProvider
from providers.protocols import Capability, ModelStatus
from providers.speech.protocol import SPEECH, SpeechProvider
from providers.transcription.protocol import TRANSCRIPTION, TranscriptionProvider
from server.cli._running import probe

ROOT = Path(__file__).parents[3]
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

PROTOCOLS: dict[CapabilityName, tuple[Capability[Any], type]] = {
    "chat": (CHAT, ChatProvider),
    "embeddings": (EMBEDDINGS, EmbeddingProvider),
    "image": (IMAGE, ImageProvider),
    "speech": (SPEECH, SpeechProvider),
    "transcription": (TRANSCRIPTION, TranscriptionProvider),
}

rows = pytest.mark.parametrize("row", MODALITIES.values(), ids=lambda row: row.model_type)
rows_with_an_extra = pytest.mark.parametrize(
    "row", [row for row in MODALITIES.values() if row.extra], ids=lambda row: row.model_type
)


@rows
def test_a_rows_provider_has_what_the_protocols_of_its_capabilities_ask_for(row: Modality) -> None:
    provider = load(row.provider)

    for name in row.capabilities:
        key, protocol = PROTOCOLS[name]
        assert key.name == name
        asked = {member for member in dir(protocol) if not member.startswith("_")}
        assert asked <= set(dir(provider))


@rows
def test_a_rows_engine_is_where_it_says(row: Modality) -> None:
    if row.engine is not None:
        module, _, name = row.engine.partition(":")
        assert f"\nclass {name}" in (ROOT / (module.replace(".", "/") + ".py")).read_text()


def test_reading_the_table_imports_no_provider_and_no_engine() -> None:
    source = (ROOT / "providers/capabilities.py").read_text()

    assert [line for line in source.splitlines() if line.startswith(("import providers", "from providers"))] == [
        "from providers.extras import Extra"
    ]


def test_contracts_name_every_capability_and_status() -> None:
    model, health = get_type_hints(Model), get_type_hints(Health)

    tasks = {"image_generation", "image_edit"}
    assert set(get_args(get_args(model["capabilities"])[0])) == set(get_args(CapabilityName)) | tasks
    assert set(get_args(model["status"])) == set(get_args(ModelStatus))
    assert set(get_args(get_args(health["models"])[1])) == set(get_args(ModelStatus))


def test_every_row_is_of_a_known_model_type() -> None:
    assert set(MODALITIES) <= set(get_args(ModelType))
    assert all(row.model_type == name for name, row in MODALITIES.items())


@rows_with_an_extra
def test_a_rows_extra_is_the_projects(row: Modality) -> None:
    assert row.extra is not None
    asked = {canonicalize_name(Requirement(line).name) for line in EXTRAS[row.extra.name]}
    bring = packages_distributions()

    brought = {canonicalize_name(name) for module in row.extra.modules for name in bring.get(module, ())}

    assert brought == asked


def test_doctor_lists_every_extra_of_the_project() -> None:
    assert sorted(extra.name for extra in probe._EXTRAS) == sorted(EXTRAS.keys() - {"all", "dev"})


def test_a_missing_extra_is_found_without_importing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    speech = MODALITIES["tts"]
    monkeypatch.setattr(extras, "is_importable", lambda module: module != "spacy")

    assert speech.lacks is speech.extra
    assert speech.lacks is not None
    assert speech.lacks.missing == ("spacy",)
    assert MODALITIES["lm"].lacks is None


def test_a_machine_without_mlx_lacks_an_extra_for_every_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "is_importable", lambda module: module != "mlx")

    lacking = {row.model_type for row in MODALITIES.values() if row.lacks and row.lacks.modules == ("mlx",)}

    assert lacking == {"lm", "multimodal", "embeddings", "whisper", "tts", "image-generation", "image-edit"}


def test_an_extra_of_alternatives_is_installed_with_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Extra(name="cuda", modules=("a", "b"), any_module=True, adds="GPUs")

    monkeypatch.setattr(extras, "is_importable", lambda module: module == "b")
    assert cuda.missing == ()
    monkeypatch.setattr(extras, "is_importable", lambda module: False)
    assert cuda.missing == ("a", "b")


@pytest.mark.parametrize(("module", "there"), [("json", True), ("no_such_module", False), ("__main__", True)])
def test_a_module_is_found_by_its_name(module: str, there: bool) -> None:
    assert is_importable(module) is there
