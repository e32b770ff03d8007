"""The requests of `/v1/responses`."""

from __future__ import annotations

from typing import Annotated, Any

import attrs
from annotated_types import MaxLen

from contracts._fields import EXPLICIT_NULL, Count, JsonObject, Metadata, ModelName, Seconds, TokenLimit, TopLogprobs
from contracts.bounds import MaxKeyLen
from contracts.chat.audio import AudioOptions, HeardAudio, Modality
from contracts.chat.request import AudioInput, GivenEffort
from contracts.chat.response_format import ResponseFormat
from contracts.chat.tools import MAX_TOOLS
from contracts.parameters import honoured, noted, refused
from contracts.responses.items import InputItem
from contracts.responses.tools import ResponseTextParam, Tool, ToolChoice
from contracts.sampling import GuidedOptions

__all__ = [
    "ENCRYPTED_REASONING",
    "FILE_SEARCH_RESULTS",
    "INCLUDED",
    "LOGPROBS",
    "CreateResponse",
    "Reasoning",
    "ResponseStreamOptions",
    "TokenCountRequest",
]

LOGPROBS = "message.output_text.logprobs"
ENCRYPTED_REASONING = "reasoning.encrypted_content"
FILE_SEARCH_RESULTS = "file_search_call.results"
INCLUDED = (LOGPROBS, ENCRYPTED_REASONING, FILE_SEARCH_RESULTS)
"""The values of `include` that this server honours. The others are noted."""

Input = str | list[InputItem]
Tools = Annotated[list[Tool], MaxLen(MAX_TOOLS)]
StoredMetadata = Annotated[Metadata, MaxKeyLen(64)]

_TOOLS = honoured(
    "See [Tools](#tools).",
    values=f"up to {MAX_TOOLS} tools",
    default=[],
)
_TOOL_CHOICE = honoured(
    "`allowed_tools` hides the other tools from the model.",
    values="`none`, `auto`, `required`, a function, a custom tool, `allowed_tools`",
    default="auto",
)
_PARALLEL_TOOL_CALLS = honoured("False: at most one call.", default=True)
_TEXT = honoured(
    "`format` is `text`, `json_object` or `json_schema`; the text keeps to the schema, of which a keyword that no "
    "grammar can hold is `400` if `strict` is true, and is given up otherwise. `verbosity` other than `medium` is "
    "noted.",
    values="`format`, `verbosity`",
    default={"format": {"type": "text"}},
)
_REASONING = honoured(
    "The chat template gets `effort` as `reasoning_effort`, and as `enable_thinking`, which is false for `none` and "
    "`minimal`. `summary`, `context` and `mode` are noted: reasoning is returned word for word, and no model "
    "summarizes it.",
    values="`effort`",
    otherwise="the chat template's own",
)
_CHAT_TEMPLATE_KWARGS = honoured(
    "Extension. Arguments of the model's chat template. Those that the server sets are refused.", default={}
)
_INSTRUCTIONS = honoured("The first system turn. Responses that continue this one do not inherit it.", otherwise="none")
_PREVIOUS_RESPONSE_ID = honoured(
    "The response to continue; it must be stored. Unknown, expired or deleted: `404` `previous_response_not_found`.",
    values="an id",
    otherwise="a new conversation",
)
_INPUT = honoured(
    "See [Input](#input). Required without `instructions` and `previous_response_id`.",
    values="text, or items",
    otherwise="no items",
)
_MODEL = honoured(
    "With one chat model, any name works and the response names the real one. With several, it must be the id or an "
    "alias of one.",
    otherwise="the only chat model",
)
_AUDIO_INPUT = honoured(
    "Extension. `transcribe`: a transcription model of this server writes down `input_audio` in turns of the user and "
    "the system, and the model reads the text. `X-Transcription-Model` names that model. `400` if the server has none.",
    otherwise="`--audio-input`",
)
_TRUNCATION = noted("An input over the context is a `400` with its counts.", accepted=("disabled",))
_CONVERSATION = refused(instead="send previous_response_id", note="`previous_response_id` continues a response.")


@attrs.frozen(kw_only=True)
class ResponseStreamOptions:
    """How a response is streamed."""

    include_obfuscation: Any = attrs.field(default=None, metadata=noted(accepted=(False,)))


@attrs.frozen(kw_only=True)
class Reasoning:
    """How the model reasons before it answers."""

    effort: GivenEffort | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    summary: Any = attrs.field(default=None, metadata={**EXPLICIT_NULL, **noted(accepted=("auto", "none"))})
    generate_summary: Any = attrs.field(default=None, metadata=noted(accepted=("auto", "none")))
    context: Any = attrs.field(default=None, metadata=noted(accepted=("auto",)))
    mode: Any = attrs.field(default=None, metadata=noted(accepted=("standard",)))


def _of_chat(here: str, *accepted: Any, note: str = "") -> dict[str, Any]:
    """A field of chat completions. A response that ignored it would answer another request."""
    words, _, name = here.rpartition(" ")
    return refused(*accepted, instead=here, note=note or f"Of chat completions: {words} `{name}`.")


@attrs.frozen(kw_only=True)
class ChatOnly(GuidedOptions):
    """Sampling, and the fields that chat completions have and responses do not."""

    messages: Any = attrs.field(default=None, metadata=_of_chat("here it is input"))
    max_tokens: TokenLimit | None = attrs.field(
        default=None,
        metadata=honoured(
            "Of chat completions: `max_output_tokens`. Those that are sent must agree.",
            values="1 or more, or -1 for no limit",
            otherwise="as `max_output_tokens`",
        ),
    )
    max_completion_tokens: TokenLimit | None = attrs.field(
        default=None,
        metadata=honoured(
            "As `max_tokens`.", values="1 or more, or -1 for no limit", otherwise="as `max_output_tokens`"
        ),
    )
    response_format: ResponseFormat | None = attrs.field(
        default=None,
        metadata=honoured(
            "Of chat completions: `text.format`. Not together with it.",
            values="`text`, `json_object`, `json_schema`",
            otherwise="as `text.format`",
        ),
    )
    reasoning_effort: GivenEffort | None = attrs.field(
        default=None,
        metadata=honoured(
            "Of chat completions: `reasoning.effort`. Those that are sent must agree.",
            values="as `reasoning.effort`",
            otherwise="as `reasoning.effort`",
        ),
    )
    verbosity: Any = attrs.field(
        default=None, metadata=noted("Of chat completions, and a hint as `text.verbosity`.", accepted=("medium",))
    )
    logprobs: bool | None = attrs.field(
        default=None,
        metadata=honoured("Of chat completions: as the log-probabilities that `include` requests.", default=False),
    )
    n: Any = attrs.field(
        default=None,
        metadata=_of_chat("ask n times instead", 1, note="Of chat completions: one request makes one response."),
    )
    functions: Any = attrs.field(default=None, metadata=_of_chat("here they are tools"))
    function_call: Any = attrs.field(default=None, metadata=_of_chat("here it is tool_choice"))


@attrs.frozen(kw_only=True)
class CreateResponse(ChatOnly):
    """A conversation to continue, by items.

    `null` means the same as leaving a field out. A parameter that this server knows and cannot honour is refused
    with `unsupported_parameter`; unknown fields have no effect.
    """

    model: ModelName | None = attrs.field(default=None, metadata=_MODEL)
    input: Input | None = attrs.field(default=None, metadata=_INPUT)
    instructions: str | None = attrs.field(default=None, metadata=_INSTRUCTIONS)
    previous_response_id: str | None = attrs.field(default=None, metadata=_PREVIOUS_RESPONSE_ID)
    store: bool | None = attrs.field(default=None, metadata=honoured("See [The store](#the-store).", default=True))
    stream: bool | None = attrs.field(default=None, metadata=honoured("See [Streams](#streams).", default=False))
    stream_options: ResponseStreamOptions | None = attrs.field(
        default=None,
        metadata=honoured(
            "Only with `stream`. `include_obfuscation` true is noted.",
            values="`include_obfuscation` false",
            otherwise="no obfuscation",
        ),
    )
    include: list[str] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Every other value is noted; those of OpenAI belong to tools that this server does not have.",
            values=", ".join(f"`{name}`" for name in INCLUDED),
            default=[],
        ),
    )

    # Tools, reasoning, and the form of the text.
    tools: Tools | None = attrs.field(default=None, metadata=_TOOLS)
    tool_choice: ToolChoice | None = attrs.field(default=None, metadata=_TOOL_CHOICE)
    parallel_tool_calls: bool | None = attrs.field(default=None, metadata=_PARALLEL_TOOL_CALLS)
    text: ResponseTextParam | None = attrs.field(default=None, metadata=_TEXT)
    reasoning: Reasoning | None = attrs.field(default=None, metadata=_REASONING)
    max_reasoning_tokens: Count | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. Ends the reasoning after this number of tokens, so that an answer follows.",
            otherwise="no limit of its own",
        ),
    )
    chat_template_kwargs: JsonObject | None = attrs.field(default=None, metadata=_CHAT_TEMPLATE_KWARGS)

    max_output_tokens: TokenLimit | None = attrs.field(
        default=None,
        metadata=honoured(
            "Tokens to generate at most, reasoning included. More than the context has room for means as many as it "
            "has. A response that reaches it is `incomplete`.",
            values="1 or more, or -1 for no limit",
            otherwise="as many as the context has room for",
        ),
    )
    top_logprobs: TopLogprobs | None = attrs.field(
        default=None,
        metadata=honoured("More than 0 returns log-probabilities, whatever `include` requests.", default=0),
    )
    metadata: StoredMetadata | None = attrs.field(
        default=None, metadata=honoured("Stored with the response, and returned in it.", default={})
    )

    # Speech.
    audio_input: AudioInput | None = attrs.field(default=None, metadata=_AUDIO_INPUT)
    modalities: list[Modality] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. With `audio`, the response is also spoken: see [speech](speech-in-chat.md#responses). `400` if "
            "the server has no model that speaks.",
            default=["text"],
        ),
    )
    output_modalities: list[Modality] | None = attrs.field(
        default=None,
        metadata=honoured("Another name of `modalities`. Both may be sent if they agree.", otherwise="as `modalities`"),
    )
    audio: AudioOptions | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension, as in [chat completions](speech-in-chat.md#request). Only with `audio` in `modalities`; "
            "otherwise it is noted.",
            values="`voice`, `format`, `model`, `speed`, `include_visemes`, `viseme_set`, `include_gestures`, "
            "`gesture_seed`",
            otherwise="the default voice",
        ),
    )
    max_spoken_seconds: Seconds | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension, only with `audio` in `modalities`. The response ends with the last sentence that is spoken "
            "within this time and is then `incomplete`; at least the first clause is spoken.",
            otherwise="no limit of its own",
        ),
    )
    heard: list[HeardAudio] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. How much of earlier spoken responses was played: `audio_id` (or the response's id), "
            "`played_ms`. The prompt holds the words that were heard to their end.",
            otherwise="everything was heard",
        ),
    )

    # Labels, which are repeated in the response and change nothing else in it.
    user: Any = attrs.field(default=None, metadata=noted("A label, which the response repeats."))
    safety_identifier: Any = attrs.field(default=None, metadata=noted("A label, which the response repeats."))
    prompt_cache_key: str | None = attrs.field(
        default=None,
        metadata=honoured(
            "Of a model with several engines: requests with the same key go to the same one, if prompts and load "
            "[allow](replicas.md#who-answers). The response repeats it.",
            otherwise="the prompt and the load decide",
        ),
    )

    client_metadata: Any = attrs.field(default=None, metadata=noted("A label of the client's own."))

    # Hints about price and caches, and bounds of what does not happen here.
    truncation: Any = attrs.field(default=None, metadata=_TRUNCATION)
    service_tier: Any = attrs.field(
        default=None, metadata=noted("The response's is `default`.", accepted=("auto", "default"))
    )
    prompt_cache_retention: Any = attrs.field(default=None, metadata=noted(accepted=("in_memory",)))
    prompt_cache_options: Any = attrs.field(default=None, metadata=noted(accepted=({}, {"mode": "implicit"})))
    max_tool_calls: Any = attrs.field(
        default=None, metadata=noted("It counts calls of OpenAI's own tools. The response repeats it.")
    )
    context_management: Any = attrs.field(
        default=None, metadata=noted("A hint: the client compacts its conversation itself.", accepted=([],))
    )

    moderation: Any = attrs.field(default=None, metadata=noted("Nothing is moderated."))
    background_options: Any = attrs.field(default=None, metadata=noted("Of `background`."))
    access_programs: Any = attrs.field(default=None, metadata=noted("Of OpenAI's accounts."))
    image: Any = attrs.field(default=None, metadata=noted("A hint about images, which are not read."))

    # Known, and refused unless they ask for what happens anyway.
    background: bool | None = attrs.field(
        default=None, metadata=refused(False, instead="stream the response, or wait for it")
    )
    conversation: str | JsonObject | None = attrs.field(default=None, metadata=_CONVERSATION)
    prompt: JsonObject | None = attrs.field(
        default=None, metadata=refused(instead="send the prompt's text as instructions")
    )


@attrs.frozen(kw_only=True)
class TokenCountRequest:
    """The fields of `CreateResponse` that make the prompt, whose tokens are counted."""

    model: ModelName | None = attrs.field(default=None, metadata=_MODEL)
    input: Input | None = attrs.field(
        default=None, metadata=honoured("See [Input](#input).", values="text, or items", otherwise="no items")
    )
    instructions: str | None = attrs.field(default=None, metadata=_INSTRUCTIONS)
    previous_response_id: str | None = attrs.field(default=None, metadata=_PREVIOUS_RESPONSE_ID)
    audio_input: AudioInput | None = attrs.field(default=None, metadata=_AUDIO_INPUT)
    tools: Tools | None = attrs.field(default=None, metadata=_TOOLS)
    tool_choice: ToolChoice | None = attrs.field(default=None, metadata=_TOOL_CHOICE)
    parallel_tool_calls: bool | None = attrs.field(default=None, metadata=_PARALLEL_TOOL_CALLS)
    text: ResponseTextParam | None = attrs.field(default=None, metadata=_TEXT)
    reasoning: Reasoning | None = attrs.field(default=None, metadata=_REASONING)
    chat_template_kwargs: JsonObject | None = attrs.field(default=None, metadata=_CHAT_TEMPLATE_KWARGS)
    truncation: Any = attrs.field(default=None, metadata=_TRUNCATION)
    conversation: str | JsonObject | None = attrs.field(default=None, metadata=_CONVERSATION)
    personality: Any = attrs.field(default=None, metadata=noted())
