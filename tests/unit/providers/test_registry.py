"""Which model answers which name."""

import pytest

from providers.errors import ModelNotFound
from providers.registry import ModelRegistry
from providers.spec import ModelSpec


def echo(name: str) -> ModelSpec:
    return ModelSpec(name=name, path="", model_type="echo")


@pytest.mark.parametrize("name", ["org/echo", "gpt-4o", ""])
def test_the_only_model_answers_to_every_name(name: str):
    assert ModelRegistry((echo("org/echo"),)).chat(name).card.id == "org/echo"


def test_of_several_models_the_named_one_answers():
    registry = ModelRegistry((echo("a"), echo("b/c")))
    assert registry.chat("b/c").card.id == "b/c"
    with pytest.raises(ModelNotFound, match=r"gpt-4o.*a, b/c") as caught:
        registry.chat("gpt-4o")
    assert caught.value.param == "model"


def test_without_models_nobody_answers():
    with pytest.raises(ModelNotFound):
        ModelRegistry(()).chat("any")


def test_a_card_is_found_by_its_exact_id_alone():
    registry = ModelRegistry((echo("a"),))
    assert registry.card("a").capabilities == ("chat", "speech")
    with pytest.raises(ModelNotFound):
        registry.card("b")


def test_a_model_type_that_is_not_built_is_an_error_before_anything_starts():
    with pytest.raises(ValueError, match=r"'image-edit'.*not available in this version.*echo"):
        ModelRegistry((ModelSpec(name="x", path="p", model_type="image-edit"),))


def test_two_models_of_one_name_are_an_error():
    with pytest.raises(ValueError, match="two models are named 'a'"):
        ModelRegistry((echo("a"), echo("a")))


async def test_starts_and_stops_every_model():
    registry = ModelRegistry((echo("a"), echo("b")))
    await registry.start()
    await registry.wait_ready()
    assert [provider.card.status for provider in registry.providers()] == ["ready", "ready"]
    await registry.stop()
    await registry.stop()
    assert [provider.card.status for provider in registry.providers()] == ["stopped", "stopped"]
