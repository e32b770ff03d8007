"""OpenAI's beta protocol, at the socket's edge: the session knows only the current one.

Each message of a client becomes the current protocol's before it is read, and each event the beta's after it is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contracts.parameters import parameters
from contracts.realtime.beta import BetaClientSecret, BetaFormat, BetaSession, CreateBetaSessionRequest
from contracts.realtime.client_events import ClientEvent
from contracts.realtime.server_events import (
    AudioGestures,
    AudioVisemes,
    AudioWords,
    ErrorEvent,
    ItemEvent,
    ServerEvent,
    SessionEvent,
)
from contracts.realtime.session import RealtimeAudioFormat, RealtimeSession
from contracts.speech import VoiceId
from server.api.realtime.dialects.decoding import Dialect, client_event
from server.api.realtime.settings import BETA_FIELDS, BETA_FORMATS, current_names, input_of, output_of
from server.serialization import converter, encode_json

__all__ = ["BETA", "BETA_PROTOCOL", "asks_for_beta", "beta_path", "beta_session", "current_settings"]

BETA_PROTOCOL = "openai-beta.realtime-v1"
"""Browsers cannot set headers of a WebSocket: they offer this subprotocol."""
_VERSION = "realtime=v1"
_FORMATS: dict[str, BetaFormat] = {
    current: beta  # type: ignore[misc]
    for beta, current in BETA_FORMATS.items()
}
_EVENTS = {
    "conversation.item.added": "conversation.item.created",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
}
_CONTENTS = {"output_text": "text", "output_audio": "audio"}
_EXTENSIONS = (AudioWords, AudioVisemes, AudioGestures)
_PLACES = {".".join(place): name for name, place in BETA_FIELDS.items()}
_PATH = re.compile(rf"\b({'|'.join(map(re.escape, _PLACES))})\b")


def asks_for_beta(headers: Iterable[str], offered: Sequence[str]) -> bool:
    """Whether a client speaks the beta. `headers`: its `OpenAI-Beta`; `offered`: its subprotocols."""
    versions = (version.strip() for header in headers for version in header.split(","))
    return BETA_PROTOCOL in offered or _VERSION in versions


def beta_session(session: RealtimeSession, secret: BetaClientSecret | None = None) -> BetaSession:
    """The session with flat settings."""
    given, output = input_of(session), output_of(session)
    realtime = session.type == "realtime"
    voice = output.voice.id if isinstance(output.voice, VoiceId) else output.voice
    ignored = session.ignored_parameters
    return BetaSession(
        id=session.id,
        object="realtime.session" if realtime else "realtime.transcription_session",
        model=session.model,
        modalities=_modalities(session.output_modalities or ["audio"]) if realtime else None,
        instructions=session.instructions if realtime else None,
        voice=voice,
        speed=output.speed,
        input_audio_format=_format(given.format),
        output_audio_format=_format(output.format) if realtime else None,
        input_audio_transcription=given.transcription,
        input_audio_noise_reduction=given.noise_reduction,
        turn_detection=given.turn_detection,
        tools=session.tools if realtime else None,
        tool_choice=session.tool_choice if realtime else None,
        parallel_tool_calls=session.parallel_tool_calls,
        temperature=session.temperature,
        seed=session.seed,
        reasoning=session.reasoning,
        max_response_output_tokens=session.max_output_tokens if realtime else None,
        tracing=session.tracing,
        expires_at=session.expires_at,
        client_secret=secret,
        ignored_parameters=None if ignored is None else [beta_path(name) for name in ignored],
    )


def beta_path(path: str) -> str:
    """A path, or an error's message that begins with one, with the beta's name of the setting."""
    return _PATH.sub(lambda found: _PLACES[found[1]], path, count=1)


def current_settings(request: CreateBetaSessionRequest) -> dict[str, Any]:
    """The settings of a request for a session, as those of an update."""
    fields: dict[str, Any] = converter.unstructure(request)
    stated = parameters(CreateBetaSessionRequest)
    return {
        name: value
        for name, value in fields.items()
        if name != "client_secret" and stated[name].status == "honoured" and value != {}
    }


def _read(text: str) -> ClientEvent:
    return client_event(text, _current)


def _current(value: dict[str, Any]) -> dict[str, Any]:
    """A message with the current names. The session reads the beta's names of its own settings, and of parts."""
    kind, response = value.get("type"), value.get("response")
    if kind == "transcription_session.update":
        return {**value, "type": "session.update"}
    if kind == "response.create" and isinstance(response, dict):
        return {**value, "response": current_names(response)}
    return value


def _write(event: ServerEvent) -> str | None:
    if isinstance(event, _EXTENSIONS) or (isinstance(event, ItemEvent) and event.type == "conversation.item.done"):
        return None
    fields: dict[str, Any] = converter.unstructure(event)
    kind: str = fields["type"]
    fields["type"] = _EVENTS.get(kind, kind)
    if isinstance(event, SessionEvent):
        fields["session"] = converter.unstructure(beta_session(event.session))
        if event.session.type == "transcription":
            fields["type"] = f"transcription_{kind}"
    elif isinstance(event, ErrorEvent):
        error = event.error
        path = None if error.param is None else beta_path(error.param)
        fields["error"] = {**fields["error"], "message": beta_path(error.message), "param": path}
    elif "item" in fields:
        fields["item"] = _item(fields["item"])
    elif "response" in fields:
        fields["response"] = _response(fields["response"])
    return encode_json(fields).decode()


def _item(item: Mapping[str, Any]) -> dict[str, Any]:
    if "content" not in item:
        return {**item}
    parts = [{**part, "type": _CONTENTS.get(part["type"], part["type"])} for part in item["content"]]
    return {**item, "content": parts}


def _response(response: Mapping[str, Any]) -> dict[str, Any]:
    made = {name: value for name, value in response.items() if name not in ("audio", "output_modalities")}
    made["output"] = [_item(item) for item in response["output"]]
    made["modalities"] = _modalities(response["output_modalities"])
    if (audio := response.get("audio")) is not None:
        output = audio["output"]
        made["output_audio_format"] = _FORMATS[output["format"]["type"]]
        voice = output.get("voice")
        made["voice"] = voice["id"] if isinstance(voice, dict) else voice
    return made


def _modalities(current: Sequence[Any]) -> list[Any]:
    """The beta's: what is spoken has a text as well."""
    return ["text", "audio"] if "audio" in current else ["text"]


def _format(format: RealtimeAudioFormat | None) -> BetaFormat:
    return "pcm16" if format is None else _FORMATS[format.type]


BETA = Dialect(_read, _write)
