"""The request of `POST /v1/chat/completions`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

import attrs
from annotated_types import Ge, MaxLen, MinLen

from contracts._fields import Count, JsonObject, Seconds, TokenLimit, TopLogprobs
from contracts.chat.audio import AudioOptions, HeardAudio, Modality
from contracts.chat.messages import ChatCompletionRequestMessage
from contracts.chat.response_format import ResponseFormat
from contracts.chat.tools import (
    MAX_TOOLS,
    ChatCompletionTool,
    ChatCompletionToolChoiceOption,
    FunctionChoice,
    FunctionDefinition,
)
from contracts.parameters import honoured, noted
from contracts.retrieval.context import ChatContext
from contracts.sampling import GenerationOptions

__all__ = [
    "AudioInput",
    "ChatCompletionRequest",
    "GivenEffort",
    "ReasoningBudget",
    "ReasoningEffort",
    "ReasoningSwitch",
    "ThinkingSwitch",
]

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
GivenEffort = Literal[ReasoningEffort, "", "auto", "default"]
"""The last three mean the same as leaving it out."""
ReasoningBudget = Annotated[int, Ge(-1)]
"""Tokens; -1 for no limit."""


AudioInput = Literal["refuse", "transcribe"]

_EFFORTS = ", ".join(f"`{effort}`" for effort in get_args(ReasoningEffort))


@attrs.frozen(kw_only=True)
class ThinkingSwitch:
    """Whether the model reasons first, and for up to how many tokens, in Anthropic's and DeepSeek's form."""

    type: Literal["enabled", "disabled", "adaptive", "auto"] = "enabled"
    budget_tokens: ReasoningBudget | None = None


@attrs.frozen(kw_only=True)
class ReasoningSwitch:
    """Whether and how much the model reasons first, in OpenRouter's form."""

    enabled: bool | None = None
    effort: GivenEffort | None = None
    max_tokens: ReasoningBudget | None = None
    exclude: Any = attrs.field(default=None, metadata=noted(accepted=(False,)))
    summary: Any = attrs.field(default=None, metadata=noted(accepted=("auto",)))


@attrs.frozen(kw_only=True)
class ChatCompletionRequest(GenerationOptions):
    """A conversation to continue.

    `null` means the same as leaving a field out. A parameter that this server knows and cannot honour is refused
    with `unsupported_parameter`; unknown fields are noted.
    """

    messages: Annotated[list[ChatCompletionRequestMessage], MinLen(1)] = attrs.field(
        metadata=honoured(
            "Roles `system`, `developer` (read as `system`), `user`, `assistant`, `tool`. `content` is text or a list "
            "of parts; texts are joined by line breaks, without empty ones. An assistant's turn may have "
            "`tool_calls` and `reasoning_content` (or `reasoning`), and no text; a tool's turn has `tool_call_id`. "
            "Role `function` and `function_call` are read as `tool` and `tool_calls`. Models that read "
            "[pictures](pictures.md) take `image_url`, `video_url` and the pages of PDFs; others refuse "
            "the first two. `input_audio` is refused, or transcribed (`audio_input`); of a `file` with `file_data`, "
            "`file_id` or, as an extension, `file_url`, the model reads the text (text, HTML, PDF), as "
            "[responses](responses.md#input) do. In a tool's turn too; there the model reads `[image]`, `[video]`, "
            "`[audio]` or `[file]` of what it cannot read, and they are noted.",
            values="at least one turn",
        )
    )
    max_completion_tokens: TokenLimit | None = attrs.field(
        default=None,
        metadata=honoured(
            "Tokens to generate at most, reasoning included. More than the context has room for means as many as it "
            "has.",
            values="1 or more, or -1 for no limit",
            otherwise="as many as the context has room for",
        ),
    )
    max_tokens: TokenLimit | None = attrs.field(
        default=None,
        metadata=honoured(
            "Older name of `max_completion_tokens`. Both may be sent if they agree.",
            values="1 or more, or -1 for no limit",
            otherwise="as `max_completion_tokens`",
        ),
    )

    # Tools, and the form of the answer.
    tools: Annotated[list[ChatCompletionTool], MaxLen(MAX_TOOLS)] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Names are 1 to 256 characters long and differ. `strict` holds the arguments to `parameters`. Tools of "
            "other types are left out and noted.",
            values=f"up to {MAX_TOOLS} functions",
            default=[],
        ),
    )
    tool_choice: ChatCompletionToolChoiceOption | None = attrs.field(
        default=None,
        metadata=honoured(
            "A required call is valid by construction. `any` is `required`.",
            values="`none`, `auto`, `required`, a function, `allowed_tools`",
            default="auto",
        ),
    )
    parallel_tool_calls: bool | None = attrs.field(
        default=None, metadata=honoured("False: at most one call.", default=True)
    )
    functions: Annotated[list[FunctionDefinition], MaxLen(MAX_TOOLS)] | None = attrs.field(
        default=None,
        metadata=honoured(
            "The older form of `tools`. The answer has `function_call` instead of `tool_calls`, and `finish_reason` "
            "`function_call`; it calls one function at most. Not together with `tools`.",
            values=f"up to {MAX_TOOLS} functions",
            default=[],
        ),
    )
    function_call: Literal["none", "auto"] | FunctionChoice | None = attrs.field(
        default=None,
        metadata=honoured(
            "The older form of `tool_choice`. Not together with it.",
            values='`none`, `auto`, `{"name": "…"}`',
            otherwise="as `tool_choice`",
        ),
    )
    response_format: ResponseFormat | None = attrs.field(
        default=None,
        metadata=honoured(
            "The answer keeps to the schema at any temperature. A keyword that no grammar can hold is `400` with its "
            "path if `strict` is true; otherwise it is given up, and `X-Ignored-Parameters` names it. "
            "`json_schema.name` and `description` change nothing. The schema may also be in `schema`, beside "
            "`json_schema` or `json_object`.",
            values="`text`, `json_object`, `json_schema`",
            default={"type": "text"},
        ),
    )

    # Reasoning, and the form of the prompt.
    reasoning_effort: GivenEffort | None = attrs.field(
        default=None,
        metadata=honoured(
            "The chat template gets it as `reasoning_effort`, and as `enable_thinking`, which is false for `none` and "
            "`minimal`. `chat_template_kwargs` has the last word. What a template does not read changes nothing. "
            "Empty, `auto` and `default` mean nothing.",
            values=_EFFORTS,
            otherwise="the chat template's own",
        ),
    )
    enable_thinking: bool | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension: as in `chat_template_kwargs`. Of `enable_thinking`, `think`, `thinking` and `reasoning`, those "
            "that are sent must agree.",
            otherwise="by `reasoning_effort`",
        ),
    )
    think: bool | Literal[GivenEffort, "true", "false"] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension: Ollama's name of `enable_thinking`, and of `reasoning_effort`.",
            values=f"true, false, or {_EFFORTS}",
            otherwise="by `reasoning_effort`",
        ),
    )
    thinking: ThinkingSwitch | bool | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension: Anthropic's and DeepSeek's form of `enable_thinking` and `max_reasoning_tokens`.",
            values='`{"type": "enabled"}`, `"disabled"`, `"adaptive"` or `"auto"`; `budget_tokens`; true, false',
            otherwise="by `reasoning_effort`",
        ),
    )
    reasoning: ReasoningSwitch | bool | GivenEffort | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension: OpenRouter's form of `enable_thinking`, `reasoning_effort` and `max_reasoning_tokens`. "
            "`exclude` and `summary` are noted.",
            values="`enabled`, `effort`, `max_tokens`; true, false; an effort",
            otherwise="by `reasoning_effort`",
        ),
    )
    max_reasoning_tokens: Count | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. Ends the reasoning after this number of tokens, so that an answer follows.",
            otherwise="no limit of its own",
        ),
    )
    chat_template_kwargs: JsonObject | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. Arguments of the model's chat template. Those that the server sets (`messages`, `tools`, "
            "`tokenize`, `chat_template`, …) are refused.",
            default={},
        ),
    )

    continue_final_message: bool | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. The answer continues the last message, which is the assistant's, instead of opening a new one. "
            "`prefix: true` in that message means the same. Not with a form of the answer.",
            default=False,
        ),
    )

    # Speech.
    audio_input: AudioInput | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. `transcribe`: a transcription model of this server writes down `input_audio` in turns of the "
            "user and the system, and the model reads the text. `X-Transcription-Model` names that model. `400` if the "
            "server has none.",
            otherwise="`--audio-input`",
        ),
    )
    modalities: list[Modality] | None = attrs.field(
        default=None,
        metadata=honoured(
            "With `audio`, the answer is also spoken: see [speech in chat](speech-in-chat.md). `400` if the "
            "server has no model that speaks.",
            default=["text"],
        ),
    )
    audio: AudioOptions | None = attrs.field(
        default=None,
        metadata=honoured(
            "The voice of the answer, only with `audio` in `modalities`; otherwise it is noted.",
            values="`voice`, `format`; extensions `model`, `speed`, `include_visemes`, `viseme_set`, "
            "`include_gestures`, `gesture_seed`",
            otherwise="the default voice",
        ),
    )
    max_spoken_seconds: Seconds | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension, only with `audio` in `modalities`. The answer ends with the last sentence that is spoken "
            "within this time, with `finish_reason` `length`; at least the first clause is spoken. Text then comes "
            "sentence by sentence, with its speech.",
            otherwise="no limit of its own",
        ),
    )
    heard: list[HeardAudio] | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. How much of earlier spoken answers was played: `audio_id`, `played_ms`. The prompt holds the "
            "words that were heard to their end. `audio.played_ms` of a message means the same.",
            otherwise="everything was heard",
        ),
    )

    context: ChatContext | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. The server searches these vector stores with the last user turn, and the model reads the "
            "passages found in front of that turn: see [file search](file-search.md).",
            values="`vector_store_ids`; `max_results` (default 10), `filters`, `score_threshold` (default 0)",
            otherwise="nothing is searched",
        ),
    )

    prefill_only: bool | None = attrs.field(
        default=None,
        metadata=honoured(
            "Extension. True: no answer is generated. The prompt is computed and kept, so that a later request that "
            "begins alike starts sooner. It yields to every other request, and takes no place in the queue. The "
            "response has no text; `usage` counts the prompt.",
            default=False,
        ),
    )

    # Log-probabilities.
    logprobs: bool | None = attrs.field(
        default=None,
        metadata=honoured(
            "Of the content's tokens, by the model's own distribution: before penalties, biases, forms and temperature."
            " Reasoning and calls have none. A token that can never be chosen has -9999.",
            default=False,
        ),
    )
    top_logprobs: TopLogprobs | None = attrs.field(default=None, metadata=honoured("Only with `logprobs`.", default=0))

    # Hints and labels; they change nothing in what the answer means.
    store: Any = attrs.field(
        default=None,
        metadata=noted("Chat completions are not kept; `POST /v1/responses` keeps its responses.", accepted=(False,)),
    )
    metadata: Any = attrs.field(default=None, metadata=noted("A label.", accepted=({},)))
    safety_identifier: Any = attrs.field(default=None, metadata=noted("A label."))
    prompt_cache_key: str | None = attrs.field(
        default=None,
        metadata=honoured(
            "Of a model with several engines: requests with the same key go to the same one, if prompts and load "
            "[allow](replicas.md#who-answers). Every prompt may reuse every cached prefix, whatever its key.",
            otherwise="the prompt and the load decide",
        ),
    )
    prompt_cache_options: Any = attrs.field(
        default=None, metadata=noted("A hint: every prompt may reuse every cached prefix.")
    )
    prompt_cache_retention: Any = attrs.field(
        default=None, metadata=noted("A hint, as `prompt_cache_options`.", accepted=("in_memory", "in-memory"))
    )
    service_tier: Any = attrs.field(default=None, metadata=noted("A hint about price.", accepted=("auto", "default")))
    verbosity: Any = attrs.field(
        default=None, metadata=noted("A hint: say in the prompt how long the answer is to be.", accepted=("medium",))
    )
    prediction: Any = attrs.field(
        default=None, metadata=noted("A hint for speed. `--prompt-lookup` predicts from the prompt.")
    )
    web_search_options: Any = attrs.field(default=None, metadata=noted("The model does not search."))
    moderation: Any = attrs.field(default=None, metadata=noted("Nothing is moderated."))

    # Known, and refused unless they ask for what happens anyway.
