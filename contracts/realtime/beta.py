"""Sessions as OpenAI's beta protocol has them: their settings are flat.

`POST /v1/realtime/sessions` and `POST /v1/realtime/transcription_sessions` make keys for clients of the beta.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from annotated_types import Ge, Le, MaxLen

from contracts._fields import EXPLICIT_NULL, JsonObject, ModelName, Temperature
from contracts.chat.tools import MAX_TOOLS
from contracts.parameters import honoured, noted
from contracts.realtime.secrets import ExpiresAfter
from contracts.realtime.session import (
    MaxOutputTokens,
    OutputModality,
    RealtimeReasoning,
    RealtimeTool,
    RealtimeToolChoice,
    RealtimeTranscription,
    SemanticVad,
    ServerVad,
)
from contracts.speech import VoiceId, VoiceName

__all__ = [
    "BetaClientSecret",
    "BetaFormat",
    "BetaSecretLife",
    "BetaSession",
    "BetaSessionType",
    "CreateBetaSessionRequest",
]

BetaFormat = Literal["pcm16", "g711_ulaw", "g711_alaw"]
BetaSessionType = Literal["realtime.session", "realtime.transcription_session"]


@attrs.frozen(kw_only=True)
class BetaSecretLife:
    """How long a key opens sessions. `expires_at` is its name in requests for transcription sessions."""

    expires_after: ExpiresAfter | None = None
    expires_at: ExpiresAfter | None = None


@attrs.frozen(kw_only=True)
class CreateBetaSessionRequest:
    """A key, and the settings of the sessions that it opens."""

    client_secret: BetaSecretLife | None = attrs.field(
        default=None,
        metadata=honoured(
            "`expires_at` for transcription sessions. Sessions go on after it.",
            values='`{"expires_after": {"seconds": 10 to 7200}}`',
            otherwise="600 seconds",
        ),
    )
    model: ModelName | None = attrs.field(
        default=None, metadata=honoured("With one chat model, any name works.", otherwise="the only chat model")
    )
    modalities: list[OutputModality] | None = attrs.field(
        default=None,
        metadata=honoured("Of the answers.", otherwise='`["text", "audio"]`, or `["text"]` if no model speaks'),
    )
    instructions: str | None = attrs.field(default=None, metadata=honoured(otherwise="no system turn"))
    voice: VoiceName | VoiceId | None = attrs.field(
        default=None, metadata=honoured("As in speech requests.", otherwise="`af_heart`, or the model's first voice")
    )
    speed: Annotated[float, Ge(0.25), Le(4)] | None = attrs.field(
        default=None, metadata=honoured("As in speech requests.", default=1)
    )
    input_audio_format: BetaFormat | None = attrs.field(default=None, metadata=honoured(default="pcm16"))
    output_audio_format: BetaFormat | None = attrs.field(default=None, metadata=honoured(default="pcm16"))
    input_audio_transcription: RealtimeTranscription | None = attrs.field(
        default=None, metadata=honoured(values="`model`, `language`, `prompt`", otherwise="no events")
    )
    turn_detection: JsonObject | None = attrs.field(
        factory=dict,
        metadata={
            **EXPLICIT_NULL,
            **honoured(values="`server_vad`; null: the client commits", otherwise="`server_vad`"),
        },
    )
    tools: Annotated[list[RealtimeTool], MaxLen(MAX_TOOLS)] | None = attrs.field(
        default=None, metadata=honoured(values=f"up to {MAX_TOOLS} functions", default=[])
    )
    tool_choice: RealtimeToolChoice | None = attrs.field(
        default=None, metadata=honoured(values="`none`, `auto`, `required`, a function", default="auto")
    )
    temperature: Temperature | None = attrs.field(default=None, metadata=honoured(otherwise="the model's own"))
    max_response_output_tokens: MaxOutputTokens | None = attrs.field(
        default=None, metadata=honoured(values="1 or more, or `inf`", default="inf")
    )
    input_audio_noise_reduction: Any = attrs.field(default=None, metadata=noted("The sound is heard as it comes."))
    tracing: Any = attrs.field(default=None, metadata=noted("The server's own traces have every session."))
    include: Any = attrs.field(default=None, metadata=noted("Transcripts have no log-probabilities.", accepted=([],)))


@attrs.frozen(kw_only=True)
class BetaClientSecret:
    """A key of one client, in the session that it opens."""

    value: str
    expires_at: int
    """Unix seconds."""


@attrs.frozen(kw_only=True)
class BetaSession:
    """A session as the server reports it to clients of the beta."""

    id: str
    object: BetaSessionType
    model: str | None = None
    modalities: list[OutputModality] | None = None
    instructions: str | None = None
    voice: str | None = None
    speed: float | None = None
    input_audio_format: BetaFormat
    output_audio_format: BetaFormat | None = None
    input_audio_transcription: RealtimeTranscription | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    input_audio_noise_reduction: Any = attrs.field(default=None, metadata=EXPLICIT_NULL)
    turn_detection: ServerVad | SemanticVad | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    tools: list[RealtimeTool] | None = None
    tool_choice: RealtimeToolChoice | None = None
    parallel_tool_calls: bool | None = None
    temperature: float | None = None
    seed: int | None = None
    """Extension."""
    reasoning: RealtimeReasoning | None = None
    max_response_output_tokens: MaxOutputTokens | None = None
    tracing: Any = None
    expires_at: int | None = None
    client_secret: BetaClientSecret | None = None
    """Only where the session is made over HTTP."""
    ignored_parameters: list[str] | None = None
    """Extension. The fields of the last update that have no effect."""
