"""`session.update`: what changes, what stays, what is noted."""

from __future__ import annotations

from typing import Any

import pytest

from server.api.realtime.settings import default_config, for_response, input_of, output_of, updated
from tests.unit.server.api.realtime.sockets import connected
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import make_app


def after(*updates: dict[str, Any]) -> Any:
    config = default_config("realtime", model="m", speaks=True, hears=True)
    for update in updates:
        config = updated(config, update)
    return config


def test_only_the_fields_that_are_sent_change() -> None:
    config = after(
        {"instructions": "A", "audio": {"output": {"voice": "af_heart", "speed": 1.5}}},
        {"audio": {"output": {"speed": 2}, "input": {"transcription": {"language": "en"}}}},
    )
    assert config.instructions == "A"
    assert (output_of(config).voice, output_of(config).speed) == ("af_heart", 2)
    assert output_of(config).format.type == "audio/pcm"
    assert input_of(config).transcription.language == "en"


def test_null_turns_a_part_off() -> None:
    config = after(
        {"audio": {"input": {"transcription": {"model": "whisper-1"}}}},
        {"audio": {"input": {"transcription": None, "turn_detection": None}}},
    )
    assert input_of(config).transcription is None
    assert input_of(config).format is not None


def test_fields_of_the_beta_are_read() -> None:
    config = after(
        {
            "modalities": ["text", "audio"],
            "voice": "alloy",
            "input_audio_format": "g711_ulaw",
            "output_audio_format": "pcm16",
            "input_audio_transcription": {"model": "whisper-1"},
            "turn_detection": {"type": "none"},
            "max_response_output_tokens": "inf",
            "temperature": 0.8,
        }
    )
    assert config.output_modalities == ["text", "audio"]
    assert output_of(config).voice == "alloy"
    assert input_of(config).format.type == "audio/pcmu"
    assert output_of(config).format.type == "audio/pcm"
    assert input_of(config).transcription.model == "whisper-1"
    assert input_of(config).turn_detection is None
    assert config.max_output_tokens == "inf"
    assert config.temperature == 0.8


def test_the_model_stays() -> None:
    assert after({"model": "another"}).model == "m"


async def test_a_session_can_be_sent_back_as_it_came() -> None:
    async with connected(make_app(FakeChat())) as socket:
        session = (await socket.until("session.created"))["session"]
        socket.send("session.update", session=session)
        again = (await socket.until("session.updated"))["session"]
    assert again == session


async def test_fields_without_effect_are_named() -> None:
    async with connected(make_app(FakeChat())) as socket:
        noise = {"input": {"noise_reduction": {"type": "near_field"}}}
        socket.send("session.update", session={"audio": noise, "tracing": "auto", "whatever": 1})
        session = (await socket.until("session.updated"))["session"]
        assert {*session["ignored_parameters"]} == {
            "session.whatever",
            "session.tracing",
            "session.audio.input.noise_reduction",
        }


async def test_strict_servers_refuse_them() -> None:
    async with connected(make_app(FakeChat(), strict_parameters=True)) as socket:
        socket.send("session.update", session={"tracing": "auto"})
        assert (await socket.until("error"))["error"]["param"] == "session.tracing"


@pytest.mark.parametrize("tools", [[{"type": "mcp", "server_label": "x"}], [{"type": "function", "name": "f"}]])
def test_tools(tools: list[dict[str, Any]]) -> None:
    assert len(after({"tools": tools}).tools) == 1


def test_a_response_has_settings_of_its_own() -> None:
    config = after({"instructions": "A", "audio": {"output": {"voice": "af_heart"}}})
    assert for_response(config, None) is config


async def test_tools_of_other_types_are_named() -> None:
    tools = [{"type": "mcp", "server_label": "x"}, {"type": "function", "name": "f"}]
    async with connected(make_app(FakeChat())) as socket:
        socket.send("session.update", session={"tools": tools})
        ignored = (await socket.until("session.updated"))["session"]["ignored_parameters"]
    assert any("tools" in name for name in ignored)
