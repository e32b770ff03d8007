"""The settings of a session: their defaults, changes by the client, and what one response has instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from contracts.chat.messages import ChatCompletionRequestMessage
from contracts.conversion.validation import is_validation_error
from contracts.realtime.response import RealtimeResponseCreateParams
from contracts.realtime.session import (
    RealtimeAudio,
    RealtimeAudioFormat,
    RealtimeAudioInput,
    RealtimeAudioOutput,
    RealtimeSessionConfig,
    RealtimeTranscription,
    SemanticVad,
    ServerVad,
    SessionType,
)
from providers.errors import InvalidRequest
from server.api.chat.request import to_generation_request
from server.api.realtime.audio.turns import TurnSettings
from server.api.realtime.prompt import chat_request
from server.api.refusals import check_deeply, unsupported
from server.errors import invalid_body
from server.noted import note_unknown
from server.serialization import converter

__all__ = [
    "BETA_FIELDS",
    "BETA_FORMATS",
    "current_names",
    "default_config",
    "for_response",
    "input_of",
    "output_of",
    "speaks",
    "updated",
]

PCM = RealtimeAudioFormat(type="audio/pcm", rate=24_000)
_TURNS: dict[str, Any] = {**attrs.asdict(TurnSettings()), "create_response": True, "interrupt_response": True}
_READ_ONLY = ("id", "object", "expires_at", "client_secret", "ignored_parameters")
"""Fields that clients send back with the session that they got."""
BETA_FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
BETA_FIELDS = {
    "modalities": ("output_modalities",),
    "max_response_output_tokens": ("max_output_tokens",),
    "voice": ("audio", "output", "voice"),
    "speed": ("audio", "output", "speed"),
    "output_audio_format": ("audio", "output", "format"),
    "input_audio_format": ("audio", "input", "format"),
    "input_audio_transcription": ("audio", "input", "transcription"),
    "input_audio_noise_reduction": ("audio", "input", "noise_reduction"),
    "turn_detection": ("audio", "input", "turn_detection"),
}
"""Where the fields of the beta protocol are now."""


def default_config(type: SessionType, *, model: str, speaks: bool, hears: bool) -> RealtimeSessionConfig:
    """The settings of a new session. `speaks`, `hears`: the server has a model that does."""
    return RealtimeSessionConfig(
        type=type,
        model=model,
        instructions="",
        output_modalities=["audio" if speaks else "text"],
        audio=RealtimeAudio(
            input=RealtimeAudioInput(
                format=PCM,
                transcription=RealtimeTranscription() if type == "transcription" else None,
                turn_detection=_complete(ServerVad(type="server_vad")) if hears else None,
            ),
            output=RealtimeAudioOutput(format=PCM),
        ),
        tools=[],
        tool_choice="auto",
        max_output_tokens="inf",
        truncation="disabled",
    )


def updated(current: RealtimeSessionConfig, update: Mapping[str, Any]) -> RealtimeSessionConfig:
    """The settings after a change.

    Raises:
        InvalidRequest: a value is wrong, or cannot change.
        UnsupportedParameter: the server cannot honour a field.
    """
    asked = current_names({name: value for name, value in update.items() if name not in _READ_ONLY})
    merged = _merged(converter.unstructure(current), asked)
    try:
        config: RealtimeSessionConfig = converter.structure(merged, RealtimeSessionConfig)
    except Exception as error:
        if not is_validation_error(error):
            raise
        problem = invalid_body(error)
        path = f"session.{problem.param}" if problem.param else "session"
        raise InvalidRequest(f"session.{problem.message}", param=path) from None
    if config.type != current.type:
        raise InvalidRequest(f"session.type: this is a {current.type} session", param="session.type")
    given = input_of(config)
    if isinstance(given.turn_detection, ServerVad):
        given = attrs.evolve(given, turn_detection=_complete(given.turn_detection))
        config = attrs.evolve(config, audio=attrs.evolve(config.audio or RealtimeAudio(), input=given))
    config = attrs.evolve(config, model=current.model)
    note_unknown(asked, config, "session.")
    check_deeply(config, path="session.")
    if isinstance(input_of(config).turn_detection, SemanticVad):
        hint = "semantic_vad needs a model that this server lacks; send server_vad or null"
        raise unsupported("session.audio.input.turn_detection.type", hint)
    check_answers(config)
    return config


def check_answers(config: RealtimeSessionConfig) -> None:
    """Raise as the translation of an answer's request: its tools contradict each other, for example."""
    turn = ChatCompletionRequestMessage(role="user", content="")
    to_generation_request(attrs.evolve(chat_request(config, []), messages=[turn]), id="")


def for_response(config: RealtimeSessionConfig, params: RealtimeResponseCreateParams | None) -> RealtimeSessionConfig:
    """The settings of one response.

    Raises:
        InvalidRequest, UnsupportedParameter: as `updated`.
    """
    if params is None:
        return config
    check_deeply(params, path="response.")
    names = (
        *("instructions", "output_modalities", "tools", "tool_choice", "parallel_tool_calls"),
        *("max_output_tokens", "temperature", "seed", "reasoning"),
    )
    own = {name: value for name in names if (value := getattr(params, name)) is not None}
    if params.audio is not None and params.audio.output is not None:
        given = attrs.asdict(params.audio.output, recurse=False, filter=lambda _, value: value is not None)
        output = attrs.evolve(output_of(config), **given)
        own["audio"] = attrs.evolve(config.audio or RealtimeAudio(), output=output)
    changed = attrs.evolve(config, **own)
    check_answers(changed)
    return changed


def _complete(vad: ServerVad) -> ServerVad:
    """With OpenAI's defaults: clients read them in the session."""
    missing = {name: value for name, value in _TURNS.items() if getattr(vad, name) is None}
    return attrs.evolve(vad, **missing)


def speaks(config: RealtimeSessionConfig) -> bool:
    """Whether answers are spoken."""
    return "audio" in (config.output_modalities or ["audio"])


def output_of(config: RealtimeSessionConfig) -> RealtimeAudioOutput:
    return (config.audio and config.audio.output) or RealtimeAudioOutput()


def input_of(config: RealtimeSessionConfig) -> RealtimeAudioInput:
    return (config.audio and config.audio.input) or RealtimeAudioInput()


def current_names(update: dict[str, Any]) -> dict[str, Any]:
    """The fields under the names that they have now."""
    made: dict[str, Any] = {name: value for name, value in update.items() if name not in BETA_FIELDS}
    for name, value in update.items():
        if name not in BETA_FIELDS:
            continue
        if name.endswith("_format") and isinstance(value, str):
            value = {"type": BETA_FORMATS.get(value, value)}
        *parents, last = BETA_FIELDS[name]
        place = made
        for parent in parents:
            inner = place.get(parent)
            place[parent] = place = {**inner} if isinstance(inner, dict) else {}
        place.setdefault(last, value)
    detection = made.get("audio")
    for key in ("input", "turn_detection"):
        detection = detection.get(key) if isinstance(detection, dict) else None
    if isinstance(detection, dict) and detection.get("type") == "none":
        made["audio"] = {**made["audio"], "input": {**made["audio"]["input"], "turn_detection": None}}
    return made


def _merged(current: Mapping[str, Any], update: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """`current` with the fields of `update`. Only `audio` and the objects right in it keep what is not sent."""
    merged = {**current}
    for name, value in update.items():
        kept = merged.get(name)
        inside = f"{path}{name}"
        if inside in ("audio", "audio.input", "audio.output") and isinstance(kept, dict) and isinstance(value, dict):
            merged[name] = _merged(kept, value, f"{inside}.")
        else:
            merged[name] = value
    return merged
