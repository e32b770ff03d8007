"""The generated files match the table of options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from server.settings.docs import configuration_page, env_example
from server.settings.migration.page import migrating_page
from server.settings.options import OPTIONS
from server.settings.settings import Settings

ROOT = Path(__file__).resolve().parents[4]


def test_the_env_example_is_the_table_of_options() -> None:
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == env_example(), "run python -m server.settings.docs"


def test_the_configuration_page_is_the_table_of_options() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")

    assert page == configuration_page(), "run python -m server.settings.docs"


def test_the_page_for_other_servers_is_the_table_of_aliases() -> None:
    page = (ROOT / "docs" / "migrating.md").read_text(encoding="utf-8")

    assert page == migrating_page(), "run python -m server.settings.docs"


APART = [("HOSTFILE",), ("MAX_KV_SIZE",), ("PROMPT_LOOKUP",), ("KV_BITS", "KV_GROUP_SIZE")]
"""Variables that exclude others; they are tested separately."""

OF_IMAGES = ("CONFIG_NAME", "IMAGE_STEPS", "IMAGE_GUIDANCE")


def test_every_example_value_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = dict(re.findall(r"^#([A-Z][A-Z_]+)=(.+)$", env_example(), re.MULTILINE))
    (tmp_path / "config.yaml").touch()
    (tmp_path / "keys").write_text("sk-ada")
    (tmp_path / "template.jinja").write_text("{{ messages }}")
    (tmp_path / "adapters").mkdir()
    (tmp_path / "hosts.json").write_text('[{"ssh": "127.0.0.1"}, {"ssh": "studio-2"}]')
    (tmp_path / "media").mkdir()
    monkeypatch.chdir(tmp_path)

    separate = [{name: examples.pop(name) for name in names} for names in APART]
    separate[0]["TENSOR_PARALLEL"] = "2"
    image_model = {"MODEL_TYPE": "image-generation", "MODEL_PATH": "org/model"}
    separate.append({**image_model, **{name: examples.pop(name) for name in OF_IMAGES}})

    assert Settings.load(environ=examples).models[0].name == "qwen"
    for environ in separate:
        assert Settings.load(environ=environ) != Settings.load(environ={})


def test_every_option_has_a_name_a_variable_and_help_of_its_own() -> None:
    assert len({option.name for option in OPTIONS}) == len({option.env for option in OPTIONS}) == len(OPTIONS)
    assert all(option.help.endswith(".") for option in OPTIONS)
