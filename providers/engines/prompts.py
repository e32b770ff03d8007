"""From a request to token ids, on the intake thread: chat template, tokenising, context check. Touches no arrays."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from providers.errors import ContextLengthExceeded, InvalidRequest
from providers.generation import ChatMessage, ChatPrompt, GenerationRequest, TextPrompt, TokenPrompt

__all__ = ["PromptBuilder", "answer_room"]

_TEMPLATE_OWN = frozenset(
    {
        "add_special_tokens",
        "chat_template",
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
"""Names that steer the renderer itself, not the template: refused in `chat_template_kwargs`."""


class PromptBuilder:
    """Renders and tokenises prompts for one tokenizer (mlx-lm's `TokenizerWrapper`)."""

    def __init__(self, tokenizer: Any, *, vocabulary: int, trimmable: bool) -> None:
        """`vocabulary`: count of usable ids. `trimmable`: whether a cached prompt can be cut anywhere; if not,
        `boundaries` says where prompts are worth keeping."""
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._trimmable = trimmable
        self._system_tokens = functools.lru_cache(maxsize=64)(self._render_system)

    def tokens(self, request: GenerationRequest) -> list[int]:
        """Token ids of the prompt, at least one.

        Raises:
            InvalidRequest: the template refuses the messages, or the text or ids cannot be used.
        """
        prompt = request.prompt
        if isinstance(prompt, ChatPrompt):
            return self._encode(self._render(prompt), "messages", special=False) or [self._start()]
        if isinstance(prompt, TextPrompt):
            return self._encode(prompt.text, "prompt", special=True) or [self._start()]
        return self._checked_ids(prompt) or [self._start()]

    def boundaries(self, request: GenerationRequest, tokens: Sequence[int]) -> list[int]:
        """Positions inside the prompt where another prompt may branch off: the end of the system messages.

        Empty when the cache can be trimmed, since then any common prefix is found without them.
        """
        prompt = request.prompt
        if self._trimmable or not isinstance(prompt, ChatPrompt) or not self._tokenizer.has_chat_template:
            return []
        system = []
        for message in prompt.messages:
            if message.role not in ("system", "developer"):
                break
            system.append((message.role, message.content or ""))
        if not system:
            return []
        rendered = self._system_tokens(tuple(system), json.dumps(prompt.template_kwargs, sort_keys=True, default=str))
        end = _common_prefix(rendered, tokens)
        return [end] if 0 < end < len(tokens) - 1 else []

    def _render_system(self, system: tuple[tuple[str, str], ...], template_kwargs: str) -> list[int]:
        messages = [ChatMessage(role=role, content=content) for role, content in system]
        messages.append(ChatMessage(role="user", content=""))
        prompt = ChatPrompt(messages=messages, template_kwargs=json.loads(template_kwargs))
        try:
            return self._encode(self._render(prompt), "messages", special=False)
        except InvalidRequest:
            return []

    def _checked_ids(self, prompt: TokenPrompt) -> list[int]:
        for token in prompt.tokens:
            if not 0 <= token < self._vocabulary:
                message = f"token id {token} is not in this model's vocabulary (0 to {self._vocabulary - 1})"
                raise InvalidRequest(message, param="prompt")
        return list(prompt.tokens)

    def _encode(self, text: str, param: str, *, special: bool) -> list[int]:
        try:
            ids: list[int] = self._tokenizer.encode(text, add_special_tokens=special)
        except (UnicodeError, TypeError, ValueError) as error:
            raise InvalidRequest(f"the text cannot be tokenised: {error}", param=param) from error
        return ids

    def _start(self) -> int:
        """The token that an empty prompt starts from: the beginning of a sequence, else its end."""
        for id in (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id):
            if id is not None:
                return int(id)
        return 0

    def _render(self, prompt: ChatPrompt) -> str:
        refused = _TEMPLATE_OWN.intersection(prompt.template_kwargs)
        if refused:
            name = min(refused)
            message = f"chat_template_kwargs.{name} is not the template's to set"
            raise InvalidRequest(message, param=f"chat_template_kwargs.{name}")
        if not prompt.messages:
            raise InvalidRequest("messages must not be empty", param="messages")
        messages = [_as_dict(message) for message in prompt.messages]
        if not self._tokenizer.has_chat_template:
            return render_plainly(messages)
        try:
            return self._apply(messages, prompt.template_kwargs)
        except Exception as error:
            merged = merge_turns(messages)
            if merged == messages:
                raise _template_refusal(error) from error
            try:
                return self._apply(merged, prompt.template_kwargs)
            except Exception:
                raise _template_refusal(error) from error

    def _apply(self, messages: list[dict[str, Any]], template_kwargs: Mapping[str, Any]) -> str:
        options = {"add_generation_prompt": True, **template_kwargs}
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, **options))


def _template_refusal(error: Exception) -> InvalidRequest:
    message = f"the model's chat template cannot render these messages: {error}"
    return InvalidRequest(message, param="messages")


def _as_dict(message: ChatMessage) -> dict[str, Any]:
    """The message as templates expect it: content is a string (they concatenate it), arguments are objects."""
    turn: dict[str, Any] = {"role": message.role, "content": message.content or ""}
    for name in ("name", "tool_call_id", "reasoning_content"):
        value = getattr(message, name)
        if value is not None:
            turn[name] = value
    if message.tool_calls:
        turn["tool_calls"] = [_with_parsed_arguments(call) for call in message.tool_calls]
    return turn


def _with_parsed_arguments(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        return {**call, "function": {**function, "arguments": json.loads(function["arguments"] or "{}")}}
    except ValueError:
        return call


def render_plainly(messages: Sequence[Mapping[str, Any]]) -> str:
    """For a model without a chat template: one `role: content` paragraph a turn, then `assistant:`."""
    turns = [f"{message['role']}: {message['content']}" for message in messages]
    return "\n\n".join([*turns, "assistant:"])


def merge_turns(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For templates that insist on alternating roles: neighbours of one role become one turn, and the system
    message, where the template has none, opens the first user turn."""
    merged: list[dict[str, Any]] = []
    for message in messages:
        role = "user" if message["role"] in ("system", "developer") and len(messages) > 1 else message["role"]
        plain = set(message) <= {"role", "content"}
        if merged and plain and merged[-1]["role"] == role and set(merged[-1]) <= {"role", "content"}:
            merged[-1]["content"] = "\n\n".join(filter(None, (merged[-1]["content"], message["content"])))
        else:
            merged.append({**message, "role": role})
    return merged


def answer_room(prompt_tokens: int, max_tokens: int | None, limit: int, *, param: str) -> int:
    """How many tokens the answer may have, at least one.

    Raises:
        InvalidRequest: `max_tokens` is less than 1.
        ContextLengthExceeded: prompt, or prompt and answer, do not fit; worded as OpenAI does, with counts.
    """
    if max_tokens is not None and max_tokens < 1:
        raise InvalidRequest(f"max_tokens must be at least 1, not {max_tokens}", param="max_tokens")
    opening = f"This model's maximum context length is {limit} tokens."
    if prompt_tokens >= limit:
        raise ContextLengthExceeded(
            f"{opening} However, your {param} resulted in {prompt_tokens} tokens. "
            f"Please reduce the length of the {param}.",
            param=param,
        )
    if max_tokens is None:
        return limit - prompt_tokens
    if prompt_tokens + max_tokens > limit:
        raise ContextLengthExceeded(
            f"{opening} However, you requested {prompt_tokens + max_tokens} tokens ({prompt_tokens} in the {param}, "
            f"{max_tokens} in the completion). Please reduce the length of the {param} or completion.",
            param=param,
        )
    return max_tokens


def _common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    length = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        length += 1
    return length
