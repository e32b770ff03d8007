"""Text generation: the type of a request, and of the events that answer it."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Literal

import msgspec

from providers.events import Event

__all__ = [
    "RESERVED_TEMPLATE_KWARGS",
    "Accepted",
    "ChatMessage",
    "ChatPrompt",
    "ChoiceGrammar",
    "Content",
    "FinishReason",
    "Finished",
    "GenerationEvent",
    "GenerationRequest",
    "Grammar",
    "ImagePart",
    "JsonObjectGrammar",
    "JsonSchemaGrammar",
    "LarkGrammar",
    "Prompt",
    "ReasoningDelta",
    "RegexGrammar",
    "SamplingParams",
    "TextDelta",
    "TextPart",
    "TextPrompt",
    "TokenLogprob",
    "TokenPrompt",
    "Tool",
    "ToolCallDelta",
    "ToolChoice",
    "Usage",
    "content_text",
]

FinishReason = Literal["stop", "length", "tool_calls"]

RESERVED_TEMPLATE_KWARGS = frozenset(
    {
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "documents",
        "max_length",
        "messages",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "tokenize",
        "tokenizer_kwargs",
        "tools",
        "truncation",
    }
)
"""Arguments of `apply_chat_template` that clients cannot set through `chat_template_kwargs`: the server sets them, and
a template from a client would be code."""


class TextPart(msgspec.Struct, frozen=True, tag="text"):
    """Text between pictures."""

    text: str


class ImagePart(msgspec.Struct, frozen=True, tag="image", weakref=True):
    """A picture: RGB, 8 bits each, row by row, upright, without alpha."""

    width: int
    height: int
    pixels: bytes
    digest: str
    """SHA-256 of size and pixels, in hexadecimal digits."""

    @classmethod
    def of(cls, width: int, height: int, pixels: bytes) -> ImagePart:
        """A picture and its digest, which takes milliseconds to compute."""
        digest = hashlib.sha256(f"{width}x{height}:".encode())
        digest.update(pixels)
        return cls(width, height, pixels, digest.hexdigest())


Content = str | list[TextPart | ImagePart]
"""What a turn holds. Without pictures it is a string."""


def content_text(content: Content | None, *, picture: str | None = None) -> str:
    """The texts, one per line. `picture` stands in the place of each picture, with its size: `{width}`, `{height}`."""
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for part in content:
        if isinstance(part, TextPart):
            texts.append(part.text)
        elif picture is not None:
            texts.append(picture.format(width=part.width, height=part.height))
    return "\n".join(texts)


class ChatMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn, with the names that Hugging Face chat templates use."""

    role: str
    content: Content | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None


class Tool(msgspec.Struct, frozen=True, omit_defaults=True):
    """A function that the model may call. `parameters` is a JSON schema; `strict` holds the arguments to it.

    `lark` is a grammar of the text that is the only argument. Where a model's calls cannot be held to it, they are held
    to nothing.
    """

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool = False
    lark: str | None = None


class ToolChoice(msgspec.Struct, frozen=True):
    """Whether the model must call: `none`, `auto`, or `required`, which `name` narrows to one function."""

    mode: Literal["none", "auto", "required"] = "auto"
    name: str | None = None
    parallel: bool = True
    """Whether one answer may hold several calls."""


class ChatPrompt(msgspec.Struct, frozen=True, tag="chat"):
    """Messages that the engine renders with the model's chat template."""

    messages: list[ChatMessage]
    template_kwargs: dict[str, Any] = {}
    tools: list[Tool] = []
    tool_choice: ToolChoice = ToolChoice()
    continue_final: bool = False
    """The answer continues the last message, which is the assistant's, instead of opening a turn."""


class TextPrompt(msgspec.Struct, frozen=True, tag="text"):
    """Raw text, tokenised without a template. The answer fills the gap before the `suffix`, if there is one."""

    text: str
    suffix: str = ""


class TokenPrompt(msgspec.Struct, frozen=True, tag="tokens"):
    """Token ids, used unchanged. `suffix`: as in `TextPrompt`."""

    tokens: list[int]
    suffix: str = ""


Prompt = ChatPrompt | TextPrompt | TokenPrompt


class SamplingParams(msgspec.Struct, frozen=True):
    """How the next token is chosen.

    None: the value in `ModelSpec.sampling`, else in the model's generation_config, or else OpenAI's default.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    repetition_penalty: float | None = None
    repetition_context_size: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[int, float] | None = None
    seed: int | None = None


class JsonObjectGrammar(msgspec.Struct, frozen=True, tag="json_object"):
    """Any JSON object."""


class JsonSchemaGrammar(msgspec.Struct, frozen=True, tag="json_schema"):
    """JSON that this schema accepts. If it is not `strict`, keywords that no grammar holds are given up."""

    schema: dict[str, Any] | bool
    strict: bool = True


class RegexGrammar(msgspec.Struct, frozen=True, tag="regex"):
    """Text that this regular expression (Rust syntax) matches as a whole."""

    pattern: str


class ChoiceGrammar(msgspec.Struct, frozen=True, tag="choice"):
    """One of these strings."""

    choices: list[str]


class LarkGrammar(msgspec.Struct, frozen=True, tag="lark"):
    """Text of this grammar, in llguidance's variant of Lark."""

    grammar: str


Grammar = JsonObjectGrammar | JsonSchemaGrammar | RegexGrammar | ChoiceGrammar | LarkGrammar


class GenerationRequest(msgspec.Struct, frozen=True, tag="generation"):
    """One prompt and the answers to generate.

    `max_tokens` counts generated tokens (None: `ModelSpec.max_tokens`; None there or -1: up to the context, and never
    beyond it; 0: no answer, only the prompt's count and log-probabilities). `stop` strings end the answer and are not
    part of it. `timeout` is in seconds from admission into the engine. `n` answers share one prefill. `top_logprobs`
    None computes no log-probabilities, 0 only those of the chosen tokens; `prompt_logprobs` is the same for the tokens
    of the prompt. `grammar` constrains the answer, not the reasoning before it; if tools may be called and no call is
    required, it constrains the answers that do not call. `grammar_param` is the path of the field that the grammar came
    from, for errors. `max_reasoning_tokens` is the number of tokens after which the reasoning is closed. With
    `prefill_only` the prompt is computed and kept for a later request, without an answer, while nothing else is to do.
    `stream`: the client reads the answer while it is generated; only telemetry uses this. Only requests with the same
    `cache_salt` find each other's prompts in the prefix cache. Of several engines, those with the same `cache_key` get
    the same one, as far as prompts and load allow.
    """

    id: str
    prompt: Prompt
    sampling: SamplingParams = SamplingParams()
    max_tokens: int | None = None
    stop: list[str] = []
    timeout: float | None = None
    n: int = 1
    top_logprobs: int | None = None
    prompt_logprobs: int | None = None
    grammar: Grammar | None = None
    grammar_param: str = "response_format"
    max_reasoning_tokens: int | None = None
    prefill_only: bool = False
    stream: bool = False
    cache_salt: str = ""
    cache_key: str = ""


class Usage(msgspec.Struct, frozen=True, array_like=True):
    """Token counts. `cached_tokens` are those of the prompt that were read from the prefix cache."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class TokenLogprob(msgspec.Struct, frozen=True, array_like=True):
    """A token, its UTF-8 bytes, its natural log-probability, and the most likely tokens in its place."""

    token: str
    raw: bytes
    logprob: float
    top: list[tuple[str, bytes, float]] = []


class Accepted(Event, frozen=True, array_like=True, tag="a"):
    """The request has passed every check and entered the batch. Always the first event, and sent once.

    `prompt_logprobs`, if the request asks for them: of every token of the prompt. Nothing comes before the first one,
    whose log-probability means nothing.
    """

    prompt_tokens: int
    cached_tokens: int
    prompt_logprobs: list[TokenLogprob] | None = None
    index: int = 0
    """The number of the request's first answer."""
    given_up: tuple[str, ...] = ()
    """Paths of the request's parameters, or of keywords in its schemas, to which no answer is held."""
    pictures_encoded: int | None = None
    """How many pictures the model had to read for this request; None: the prompt has none."""


class TextDelta(Event, frozen=True, array_like=True, tag="t"):
    """Text to append: whole characters, never part of a stop string. `tokens` counts the decode steps behind it.

    `index` is the number of the answer, from 0 to `n` - 1, here and in every event below.
    """

    text: str
    tokens: int = 1
    index: int = 0
    logprobs: list[TokenLogprob] | None = None


class ReasoningDelta(Event, frozen=True, array_like=True, tag="r"):
    """Thinking to append, without the model's markers."""

    text: str
    tokens: int = 1
    index: int = 0


class ToolCallDelta(Event, frozen=True, array_like=True, tag="c"):
    """Part of a function call. The first delta of call number `call` has `id` and `name` (and no arguments);
    the `arguments` of all its deltas concatenate to one JSON object."""

    call: int
    arguments: str = ""
    id: str | None = None
    name: str | None = None
    tokens: int = 1
    index: int = 0


class Finished(Event, frozen=True, array_like=True, tag="f"):
    """An answer is complete. The last event of each of the `n` answers.

    Times are measured in the engine, in seconds: `prefill_seconds` from acceptance to the first token,
    `decode_seconds` from the first token to the last.
    """

    ends: ClassVar[bool] = True

    finish_reason: FinishReason
    usage: Usage
    prefill_seconds: float
    decode_seconds: float
    index: int = 0
    stop: str | None = None
    """The stop string that ended the answer; None: none did."""


GenerationEvent = Accepted | TextDelta | ReasoningDelta | ToolCallDelta | Finished
