"""The settings of a realtime session.

`session.update` changes the fields that it has; null turns a part off, such as `turn_detection`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from annotated_types import Ge, Le, MaxLen

from contracts._fields import EXPLICIT_NULL, Count, Fraction, JsonObject, ModelName, Temperature
from contracts.chat.request import GivenEffort
from contracts.chat.tools import MAX_TOOLS, ChatCompletionNamedToolChoice, FunctionName
from contracts.parameters import honoured, noted, refused
from contracts.speech import VisemeSet, VoiceId, VoiceName

__all__ = [
    "MaxOutputTokens",
    "OutputModality",
    "RealtimeAudio",
    "RealtimeAudioFormat",
    "RealtimeAudioInput",
    "RealtimeAudioOutput",
    "RealtimeFunctionTool",
    "RealtimeReasoning",
    "RealtimeSession",
    "RealtimeSessionConfig",
    "RealtimeTool",
    "RealtimeToolChoice",
    "RealtimeTranscription",
    "SemanticVad",
    "ServerVad",
    "SessionType",
]

SessionType = Literal["realtime", "transcription"]
OutputModality = Literal["text", "audio"]
MaxOutputTokens = Count | Literal["inf"]
Milliseconds = Annotated[int, Ge(0), Le(60_000)]


@attrs.frozen(kw_only=True)
class RealtimeAudioFormat:
    """The encoding of sound: 16-bit samples at 24 kHz, or G.711 at 8 kHz (`pcmu`: mu-law, `pcma`: A-law). Mono."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
    rate: Annotated[int, Ge(24_000), Le(24_000)] | None = None
    """Of `audio/pcm`."""


@attrs.frozen(kw_only=True)
class RealtimeTranscription:
    """Which model writes down what the user says, and what it knows of it."""

    model: ModelName | None = attrs.field(
        default=None,
        metadata=honoured("A name that no model of this server has means the only one.", otherwise="the first one"),
    )
    language: Annotated[str, MaxLen(64)] | None = attrs.field(
        default=None, metadata=honoured("As in transcription requests.", otherwise="detected")
    )
    prompt: str | None = attrs.field(default=None, metadata=honoured("As in transcription requests.", otherwise="none"))
    languages: Any = attrs.field(default=None, metadata=noted("Send `language`.", accepted=([],)))
    keywords: Any = attrs.field(default=None, metadata=noted("Send them in `prompt`.", accepted=([],)))
    delay: Any = attrs.field(default=None, metadata=noted("A hint."))


@attrs.frozen(kw_only=True)
class ServerVad:
    """The server finds where the user begins and ends to speak."""

    type: Literal["server_vad"] = attrs.field(metadata=honoured(values="`server_vad`"))
    threshold: Fraction | None = attrs.field(
        default=None,
        metadata=honoured("With a higher one, speech must be clearer and further above the noise.", default=0.5),
    )
    prefix_padding_ms: Milliseconds | None = attrs.field(
        default=None, metadata=honoured("Sound before the speech that is part of the turn.", default=300)
    )
    silence_duration_ms: Milliseconds | None = attrs.field(
        default=None, metadata=honoured("Silence that ends a turn.", default=500)
    )
    create_response: bool | None = attrs.field(
        default=None, metadata=honoured("Whether a turn is answered.", default=True)
    )
    interrupt_response: bool | None = attrs.field(
        default=None, metadata=honoured("Whether speech stops the answer, and cuts it at what was heard.", default=True)
    )
    idle_timeout_ms: Annotated[int, Ge(1), Le(3_600_000)] | None = attrs.field(
        default=None,
        metadata=honoured("Silence after an answer was played, until the model speaks again.", otherwise="never"),
    )


@attrs.frozen(kw_only=True)
class SemanticVad:
    """Turns by what is said. No model of this server can tell it."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None


@attrs.frozen(kw_only=True)
class RealtimeAudioInput:
    """What the client sends, and what the server hears in it."""

    format: RealtimeAudioFormat | None = attrs.field(
        default=None,
        metadata=honoured(
            "Of `input_audio_buffer.append`.",
            values="`audio/pcm` (24 kHz), `audio/pcmu`, `audio/pcma` (8 kHz)",
            otherwise="`audio/pcm`",
        ),
    )
    transcription: RealtimeTranscription | None = attrs.field(
        default=None,
        metadata={
            **EXPLICIT_NULL,
            **honoured(
                "Whether the client gets the transcripts of the user's turns. The model reads them in any case.",
                values="`model`, `language`, `prompt`; null: no events",
                otherwise="no events",
            ),
        },
    )
    turn_detection: ServerVad | SemanticVad | None = attrs.field(
        default=None,
        metadata={
            **EXPLICIT_NULL,
            **honoured(
                "`semantic_vad` is refused. Null if no model transcribes.",
                values="`server_vad`; null: the client commits",
                otherwise="`server_vad`",
            ),
        },
    )
    noise_reduction: Any = attrs.field(
        default=None, metadata={**EXPLICIT_NULL, **noted("The sound is heard as it comes.")}
    )


@attrs.frozen(kw_only=True)
class RealtimeAudioOutput:
    """The voice of the answers."""

    format: RealtimeAudioFormat | None = attrs.field(
        default=None,
        metadata=honoured(
            "Of `response.output_audio.delta`.",
            values="`audio/pcm` (24 kHz), `audio/pcmu`, `audio/pcma` (8 kHz)",
            otherwise="`audio/pcm`",
        ),
    )
    voice: VoiceName | VoiceId | None = attrs.field(
        default=None, metadata=honoured("As in speech requests.", otherwise="`af_heart`, or the model's first voice")
    )
    speed: Annotated[float, Ge(0.25), Le(4)] | None = attrs.field(
        default=None, metadata=honoured("As in speech requests.", default=1)
    )
    model: ModelName | None = attrs.field(
        default=None, metadata=honoured("Extension. The model that speaks.", otherwise="the first one that speaks")
    )
    include_visemes: bool | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. False: no events `response.output_audio.words` and `response.output_audio.visemes`.",
            default=True,
        ),
    )
    viseme_set: VisemeSet | None = attrs.field(
        default=None, metadata=honoured("Extension, as in speech requests.", default="oculus")
    )
    include_gestures: bool | None = attrs.field(
        default=None, metadata=honoured("Extension, as in speech requests.", default=False)
    )
    gesture_seed: Annotated[int, Ge(0), Le(2**53)] | None = attrs.field(
        default=None, metadata=honoured("Extension. Only with `include_gestures`.", default=0)
    )


@attrs.frozen(kw_only=True)
class RealtimeAudio:
    """Sound in both directions."""

    input: RealtimeAudioInput | None = None
    output: RealtimeAudioOutput | None = None


@attrs.frozen(kw_only=True)
class RealtimeFunctionTool:
    """A function that the model may call. `parameters` is a JSON schema of its arguments."""

    type: Literal["function"] = "function"
    name: FunctionName
    description: str | None = None
    parameters: JsonObject | None = None


RealtimeTool = RealtimeFunctionTool | JsonObject
"""A function, or a tool of a type that this server cannot run."""

RealtimeToolChoice = Literal["none", "auto", "required"] | ChatCompletionNamedToolChoice


@attrs.frozen(kw_only=True)
class RealtimeReasoning:
    """How the model reasons before it answers."""

    effort: GivenEffort | None = None


@attrs.frozen(kw_only=True)
class RealtimeSessionConfig:
    """What a client may set. Fields of the beta protocol (`modalities`, `voice`, `input_audio_format`, …) are read as
    those that replaced them."""

    type: SessionType = attrs.field(
        default="realtime", metadata=honoured("`transcription` is set by `intent=transcription`.", default="realtime")
    )
    model: ModelName | None = attrs.field(
        default=None, metadata=honoured("It cannot change.", otherwise="the model of the address")
    )
    instructions: str | None = attrs.field(
        default=None, metadata=honoured("The first system turn.", otherwise="no system turn")
    )
    output_modalities: list[OutputModality] | None = attrs.field(
        default=None,
        metadata=honoured(
            "`audio`: answers are spoken, with their text as the transcript. Both mean `audio`.",
            values='`["audio"]` or `["text"]`',
            otherwise='`["audio"]`, or `["text"]` if no model of the server speaks',
        ),
    )
    audio: RealtimeAudio | None = attrs.field(
        default=None, metadata=honoured("See [Sound](#sound).", values="`input`, `output`", otherwise="their defaults")
    )
    tools: Annotated[list[RealtimeTool], MaxLen(MAX_TOOLS)] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Tools of other types are left out and noted.", values=f"up to {MAX_TOOLS} functions", default=[]
        ),
    )
    tool_choice: RealtimeToolChoice | None = attrs.field(
        default=None, metadata=honoured(values="`none`, `auto`, `required`, a function", default="auto")
    )
    parallel_tool_calls: bool | None = attrs.field(
        default=None, metadata=honoured("False: at most one call.", default=True)
    )
    max_output_tokens: MaxOutputTokens | None = attrs.field(
        default=None, metadata=honoured("Of one answer.", values="1 or more, or `inf`", default="inf")
    )
    temperature: Temperature | None = attrs.field(
        default=None, metadata=honoured("Extension, of the beta protocol.", otherwise="the model's own")
    )
    seed: int | None = attrs.field(
        default=None, metadata=honoured("Extension, as in chats.", otherwise="a different answer each time")
    )
    reasoning: RealtimeReasoning | None = attrs.field(
        default=None,
        metadata=honoured("As in responses.", values="`effort`", otherwise="the model's own"),
    )
    truncation: Any = attrs.field(
        default=None,
        metadata=noted(
            "A conversation over the context fails its response, with the counts. Delete items.",
            accepted=("disabled",),
        ),
    )
    tracing: Any = attrs.field(
        default=None, metadata={**EXPLICIT_NULL, **noted("The server's own traces have every session.")}
    )
    include: Any = attrs.field(default=None, metadata=noted("Transcripts have no log-probabilities.", accepted=([],)))
    prompt: Any = attrs.field(
        default=None, metadata={**EXPLICIT_NULL, **refused(instead="send instructions", note="OpenAI stores these.")}
    )


@attrs.frozen(kw_only=True)
class RealtimeSession(RealtimeSessionConfig):
    """A session as the server reports it."""

    id: str
    object: Literal["realtime.session"] = "realtime.session"
    expires_at: int | None = None
    ignored_parameters: list[str] | None = None
    """Extension. The fields of the last update that have no effect."""
