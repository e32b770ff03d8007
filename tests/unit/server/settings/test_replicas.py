"""The engines of a model and their devices."""

from __future__ import annotations

import pytest

from providers.devices import devices_of, environment_of
from providers.spec import ModelSpec
from server.settings.settings import Settings, SettingsError


def spec(**variables: str) -> ModelSpec:
    return Settings.load(environ=variables).models[0]


@pytest.mark.parametrize(
    ("variables", "replicas", "devices"),
    [
        ({}, 1, ()),
        ({"REPLICAS": "3"}, 3, ()),
        ({"DEVICES": "1"}, 1, (1,)),
        ({"DEVICES": "2,0"}, 2, (2, 0)),
        ({"DEVICES": "2,0", "REPLICAS": "5"}, 5, (2, 0)),
        ({"TENSOR_PARALLEL": "2", "REPLICAS": "2"}, 2, ()),
        ({"TENSOR_PARALLEL": "2", "DEVICES": "2,0"}, 1, (2, 0)),
        ({"PIPELINE": "2", "DEVICES": "4,5,6,7"}, 2, (4, 5, 6, 7)),
    ],
)
def test_there_is_a_replica_for_each_device_or_as_many_as_wanted(
    variables: dict[str, str], replicas: int, devices: tuple[int, ...]
) -> None:
    made = spec(**variables)

    assert (made.replicas, made.devices) == (replicas, devices)


def test_replicas_take_the_devices_in_turn() -> None:
    made = spec(DEVICES="2,0", REPLICAS="5")

    assert [devices_of(made, number) for number in range(5)] == [(2,), (0,), (2,), (0,), (2,)]
    assert made.replicas_per_device == 3
    assert devices_of(spec(), 0) == ()
    assert environment_of(()) is None
    assert environment_of((2,)) == {"CUDA_VISIBLE_DEVICES": "2"}


def test_each_process_of_a_replica_has_a_device() -> None:
    made = spec(TENSOR_PARALLEL="2", DEVICES="4,5,7,6", REPLICAS="3")

    assert [devices_of(made, number) for number in range(3)] == [(4, 5), (7, 6), (4, 5)]
    assert made.replicas_per_device == 2
    assert environment_of((7, 6)) == {"CUDA_VISIBLE_DEVICES": "7,6"}


def test_devices_are_counted_among_those_that_the_server_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, GPU-8932f937")

    assert environment_of((1,)) == {"CUDA_VISIBLE_DEVICES": "GPU-8932f937"}
    assert spec(DEVICES="0,1").devices == (0, 1)
    with pytest.raises(SettingsError, match="DEVICES in the environment has device 2, but CUDA_VISIBLE_DEVICES leaves"):
        spec(DEVICES="1,2")


def test_the_limits_of_memory_are_those_of_all_replicas_together() -> None:
    made = spec(REPLICAS="2", MAX_MEMORY="8GB", WIRED_LIMIT="6GB")

    assert made.max_memory == 8 * 10**9
    assert (made.of_replica.max_memory, made.of_replica.wired_limit) == (4 * 10**9, 3 * 10**9)
    assert spec(REPLICAS="2", MEMORY_LIMIT="8GB").of_replica.max_memory == 4 * 10**9
    assert spec(REPLICAS="2").of_replica.max_memory is None
    assert spec(MAX_MEMORY="8GB").of_replica.max_memory == 8 * 10**9


def test_a_device_without_a_replica_is_refused() -> None:
    with pytest.raises(SettingsError, match="DEVICES in the environment has 3 devices for --replicas 2"):
        spec(DEVICES="0,1,2", REPLICAS="2")
    with pytest.raises(SettingsError, match="DEVICES in the environment has 4 devices for --replicas 1 of 2 processes"):
        spec(DEVICES="0,1,2,3", REPLICAS="1", TENSOR_PARALLEL="2")


def test_a_process_without_a_device_is_refused() -> None:
    with pytest.raises(SettingsError, match="has 3 devices for groups of 2 processes; each process needs one"):
        spec(DEVICES="0,1,2", TENSOR_PARALLEL="2")


@pytest.mark.parametrize("name", ["REPLICAS", "DEVICES"])
def test_a_model_without_an_engine_has_no_replicas(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} in the environment is for models with an engine; echo has none"):
        spec(MODEL_TYPE="echo", **{name: "2"})


@pytest.mark.parametrize("model_type", ["lm", "embeddings", "whisper", "tts"])
def test_every_model_with_an_engine_may_have_replicas(model_type: str) -> None:
    assert spec(MODEL_TYPE=model_type, REPLICAS="2").replicas == 2


def test_devices_need_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.devices.HAS_NVIDIA_DRIVER", False)

    with pytest.raises(SettingsError, match="DEVICES in the environment needs NVIDIA's driver"):
        spec(DEVICES="0")
    assert spec(REPLICAS="2").replicas == 2


@pytest.mark.parametrize("value", ["1,1", "1,01", "-1", ""])
def test_devices_are_different_numbers(value: str) -> None:
    with pytest.raises(SettingsError, match="must be numbers of devices, counted from 0 and each once"):
        Settings.load({"devices": value}, {})
