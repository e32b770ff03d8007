"""Which model answers which name."""

import attrs
import pytest

from providers import extras
from providers.chat.protocol import CHAT
from providers.errors import ExtraNotInstalled, ModelNotFound
from providers.registry import ModelRegistry, check_servable
from providers.spec import ModelSpec
from providers.speech.protocol import SPEECH


def echo(name: str) -> ModelSpec:
    return ModelSpec(name=name, path="", model_type="echo")


@pytest.mark.parametrize("name", ["org/echo", "gpt-4o", ""])
def test_the_only_model_answers_to_every_name(name: str):
    assert ModelRegistry((echo("org/echo"),)).find(CHAT, name).card.id == "org/echo"


def test_of_several_models_the_named_one_answers():
    registry = ModelRegistry((echo("a"), echo("b/c")))
    assert registry.find(CHAT, "b/c").card.id == "b/c"
    with pytest.raises(ModelNotFound, match=r"gpt-4o.*a, b/c") as caught:
        registry.find(CHAT, "gpt-4o")
    assert caught.value.param == "model"


def test_without_models_no_model_is_found():
    with pytest.raises(ModelNotFound):
        ModelRegistry(()).find(CHAT, "any")


def test_a_card_is_found_only_by_its_exact_id():
    registry = ModelRegistry((echo("a"),))
    assert registry.card("a").capabilities == ("chat", "speech", "image")
    with pytest.raises(ModelNotFound):
        registry.card("b")


def test_a_model_type_that_is_not_built_is_an_error_before_anything_starts():
    with pytest.raises(ValueError, match=r"'hologram'.*not available in this version.*echo"):
        ModelRegistry((ModelSpec(name="x", path="p", model_type="hologram"),))


def test_two_models_of_one_name_are_an_error():
    with pytest.raises(ValueError, match="two models are named 'a'"):
        ModelRegistry((echo("a"), echo("a")))


def test_a_model_answers_to_its_aliases_and_is_listed_once():
    registry = ModelRegistry((attrs.evolve(echo("a"), aliases=("gpt-4o", "org/nick")), echo("b")))
    assert registry.find(CHAT, "gpt-4o").card.id == registry.card("org/nick").id == "a"
    assert registry.card("a").aliases == ("gpt-4o", "org/nick")
    assert [provider.card.id for provider in registry.providers()] == ["a", "b"]
    with pytest.raises(ModelNotFound, match="there are: a, b"):
        registry.provider("c")


@pytest.mark.parametrize("aliases", [("b",), ("a",), ("x", "x")])
def test_two_models_of_one_alias_are_an_error(aliases: tuple[str, ...]):
    with pytest.raises(ValueError, match="two models are named"):
        ModelRegistry((attrs.evolve(echo("a"), aliases=aliases), echo("b")))


async def test_starts_and_stops_every_model():
    registry = ModelRegistry((echo("a"), echo("b")))
    await registry.start()
    await registry.wait_ready()
    assert [provider.card.status for provider in registry.providers()] == ["ready", "ready"]
    await registry.stop()
    await registry.stop()
    assert [provider.card.status for provider in registry.providers()] == ["stopped", "stopped"]


SPEAKS = ModelSpec(name="kokoro", path="p", model_type="tts", lazy=True)
REFUSED = r"kokoro is unavailable: the extra `speech` is not installed .*: pip install '.*\[speech\]'"


@pytest.fixture
def no_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "is_importable", lambda module: module != "mlx_audio")


@pytest.mark.usefixtures("no_speech")
async def test_a_model_whose_extra_is_missing_is_listed_with_the_command_and_refused():
    registry = ModelRegistry((ModelSpec(name="lm", path="p", lazy=True), SPEAKS))
    await registry.start()

    assert [provider.card.status for provider in registry.providers()] == ["unloaded", "unavailable"]
    assert "pip install 'mlx-openai-server-lab[speech]'" in (registry.card("kokoro").detail or "")
    assert registry.available(SPEECH) == []
    assert registry.find(CHAT, "any").card.id == "lm"
    with pytest.raises(ExtraNotInstalled, match=REFUSED):
        registry.find(SPEECH, "any")
    with pytest.raises(ExtraNotInstalled, match=REFUSED):
        await registry.wait_ready()
    registry.begin_drain()
    await registry.stop()


@pytest.mark.usefixtures("no_speech")
def test_of_several_that_speak_only_the_installed_ones_are_available():
    registry = ModelRegistry((echo("echo"), SPEAKS))

    assert [provider.card.id for provider in registry.available(SPEECH)] == ["echo"]
    assert registry.find(SPEECH, "echo").card.id == "echo"
    with pytest.raises(ExtraNotInstalled):
        registry.find(SPEECH, "kokoro")
    with pytest.raises(ModelNotFound, match="echo, kokoro"):
        registry.find(SPEECH, "other")


@pytest.mark.usefixtures("no_speech")
def test_a_server_whose_every_model_lacks_its_extra_does_not_start():
    with pytest.raises(ExtraNotInstalled, match=REFUSED):
        ModelRegistry((SPEAKS,))
    with pytest.raises(ExtraNotInstalled, match=REFUSED):
        check_servable((SPEAKS,))
    check_servable((SPEAKS, echo("echo")))
    check_servable(())
