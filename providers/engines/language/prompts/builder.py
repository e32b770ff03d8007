"""From a request to token ids, on the intake thread: chat template, tokenising and context check, without arrays."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from providers.bounded_cache import BoundedCache
from providers.chat.types import RESERVED_TEMPLATE_KWARGS, ChatMessage, ChatPrompt, Prompt, TextPrompt, TokenPrompt
from providers.engines.language.prompts.control_tokens import ControlTokens
from providers.engines.language.prompts.infill import find_infill
from providers.engines.language.prompts.tools import ToolPlan, ToolPrompter
from providers.engines.language.prompts.turn_orders import turn_orders
from providers.engines.output.markup import ReasoningFormat
from providers.engines.prefix.common_prefix import common_prefix
from providers.engines.vision.intake import PictureIntake
from providers.errors import ContextLengthExceeded, InvalidRequest, UnsupportedParameter

__all__ = ["BuiltPrompt", "PromptBuilder", "answer_room"]

NO_BOUND = -1
"""As `max_tokens`: what llama.cpp's clients send for none."""

_REFUSED_TEMPLATE_KWARGS = RESERVED_TEMPLATE_KWARGS - {"add_generation_prompt"}
"""The server itself sets `add_generation_prompt`, for the endpoint that tokenizes."""
MAX_COUNTED_CHARACTERS = 1_000_000
"""Of a text that is only tokenised: the intake takes about 1 s for this many, and all other requests wait."""
_NEXT_TURN = ({"role": "assistant", "content": "x"}, {"role": "user", "content": "x"})
"""The turns that follow a prompt once its answer is part of the conversation."""
_PROBED_CHARACTERS = 16
"""Of a long text, this many characters per token of the context are tokenised first. Prose has four per token."""
_PROBE_SLACK = 64
"""Tokens that the probe may have in excess, since it cuts the last word anywhere."""


@attrs.frozen(kw_only=True)
class BuiltPrompt:
    """A prompt in token ids, and what it determines about the answer."""

    tokens: list[int]
    """At least one."""
    boundaries: list[int]
    """Positions inside `tokens` where another prompt may branch off, ascending: the end of the system messages, the
    beginning of the last message's text (a client may edit it), and the end of the part that the next turn shares.
    Empty if the cache can be trimmed, since then any common prefix is found without them."""
    system_end: int
    """The boundary that ends the system messages (and tools); 0 if there is none."""
    plan: ToolPlan | None
    """None: the prompt is not a chat."""
    opened: bool
    """The prompt ends inside a thought."""
    ends: frozenset[int] = frozenset()
    """Tokens that end the answer, beside those that end every one."""


_SYSTEM_BYTES = 32 << 20
"""Bound on the kept tokens of system prompts and tools."""


class PromptBuilder:
    """Renders and tokenises prompts for one tokenizer (mlx-lm's `TokenizerWrapper`)."""

    def __init__(
        self,
        tokenizer: Any,
        prompter: ToolPrompter,
        reasoning: ReasoningFormat | None,
        *,
        vocabulary: int,
        limit: int,
        trimmable: bool,
        pictures: PictureIntake | None = None,
    ) -> None:
        """`vocabulary`: count of usable ids. `limit`: tokens of the context. `trimmable`: a cached prompt can be cut
        anywhere. `pictures`: None for a model that reads none."""
        self._tokenizer = tokenizer
        self._prompter = prompter
        self._reasoning = reasoning
        self._vocabulary = vocabulary
        self._limit = limit
        self._longest_token = max(map(len, tokenizer.get_vocab()), default=1)
        self._trimmable = trimmable
        self._infill = find_infill(tokenizer)
        self._control = ControlTokens(tokenizer)
        self._pictures = pictures
        self._of_systems: BoundedCache[str, list[int]] = BoundedCache(_SYSTEM_BYTES)

    def build(self, prompt: Prompt, *, to_count: bool = False) -> BuiltPrompt:
        """Render and tokenise a prompt. `to_count`: it may be longer than the context.

        Raises:
            InvalidRequest: the template refuses the messages, or the text or ids cannot be used.
            UnsupportedParameter: this model cannot call tools, or fill in the middle.
            ContextLengthExceeded: the text is too long for the context, found without tokenising all of it.
        """
        if not isinstance(prompt, ChatPrompt):
            if isinstance(prompt, TextPrompt):
                self._check_length(prompt.text, "prompt", to_count)
            if prompt.suffix:
                return self._with_gap(prompt)
            tokens = self._tokens(prompt) or [self._start()]
            return BuiltPrompt(tokens=tokens, boundaries=[], system_end=0, plan=None, opened=False)
        plan = self._plan(prompt)
        text = self._text(prompt, plan)
        self._check_length(text, "messages", to_count)
        tokens = self._encode(text, "messages", special=False) or [self._start()]
        system_end, boundaries = self._boundaries(plan, prompt.template_kwargs, tokens)
        return BuiltPrompt(
            tokens=tokens,
            boundaries=boundaries,
            system_end=system_end,
            plan=plan,
            opened=self._opens(prompt, plan, text),
        )

    def tokens(self, prompt: Prompt, *, special: bool | None = None) -> list[int]:
        """Token ids of the prompt, perhaps none. `special`: whether the tokenizer adds its own tokens around text;
        None: only around raw text, since chat templates contain them. Raises as `build` does, but accepts texts that
        are longer than the context."""
        if isinstance(prompt, ChatPrompt):
            plan = self._plan(prompt)
            text = self._text(prompt, plan)
            self._check_length(text, "messages", to_count=True)
            return self._encode(text, "messages", special=special is True)
        if isinstance(prompt, TextPrompt):
            self._check_length(prompt.text, "prompt", to_count=True)
        return self._tokens(prompt, special=special)

    def _with_gap(self, prompt: TextPrompt | TokenPrompt) -> BuiltPrompt:
        """The prompt for the text between a prompt and its suffix.

        Raises:
            UnsupportedParameter: the tokenizer has no tokens for it.
        """
        if self._infill is None:
            message = (
                "suffix: this model has no tokens for filling in the middle; leave suffix out to continue the prompt"
            )
            raise UnsupportedParameter(message, param="suffix")
        self._check_length(prompt.suffix, "suffix", to_count=False)
        before = self._tokens(prompt, special=False)
        after = self._encode(prompt.suffix, "suffix", special=False)
        begins = self._encode("", "prompt", special=True)[:1]
        begin = [id for id in begins if id == self._tokenizer.bos_token_id]
        tokens = [*begin, *self._infill.tokens(before, after)]
        return BuiltPrompt(tokens=tokens, boundaries=[], system_end=0, plan=None, opened=False, ends=self._infill.ends)

    def _tokens(self, prompt: TextPrompt | TokenPrompt, *, special: bool | None = None) -> list[int]:
        if isinstance(prompt, TextPrompt):
            return self._encode(prompt.text, "prompt", special=special is not False)
        return self.checked_ids(prompt.tokens, "prompt")

    def _check_length(self, text: str, param: str, to_count: bool) -> None:
        """Refuse a text that cannot fit before all of it is tokenised: ten megabytes would delay all other requests
        for seconds."""
        if to_count:
            if len(text) > MAX_COUNTED_CHARACTERS:
                message = f"at most {MAX_COUNTED_CHARACTERS} characters can be tokenised, not {len(text)}"
                raise InvalidRequest(message, param=param)
            return
        if len(text) > self._limit * self._longest_token:
            raise _too_long(len(text) // self._longest_token, self._limit, param)
        probe = _PROBED_CHARACTERS * self._limit
        if len(text) > probe:
            tokens = len(self._encode(text[:probe], param, special=False)) - _PROBE_SLACK
            if tokens >= self._limit:
                raise _too_long(tokens, self._limit, param)

    def _plan(self, prompt: ChatPrompt) -> ToolPlan:
        refused = _REFUSED_TEMPLATE_KWARGS.intersection(prompt.template_kwargs)
        if refused:
            name = min(refused)
            message = f"chat_template_kwargs.{name} is set by the server"
            raise InvalidRequest(message, param=f"chat_template_kwargs.{name}")
        if not prompt.messages:
            raise InvalidRequest("messages must not be empty", param="messages")
        return self._prompter.plan([self._as_dict(message) for message in prompt.messages], prompt)

    def _as_dict(self, message: ChatMessage) -> dict[str, Any]:
        """The message in the form that templates expect: content is a string, since they concatenate it.

        Control tokens in it are text, except in the model's own turns: it may have written them.
        """
        turn: dict[str, Any] = {"role": message.role, "content": self._written(message)}
        for name in ("name", "tool_calls", "tool_call_id", "reasoning_content"):
            value = getattr(message, name)
            if value is not None and value != []:
                turn[name] = value
        return turn

    def _written(self, message: ChatMessage) -> str:
        content, own = message.content or "", message.role == "assistant"
        if self._pictures is not None:
            return self._pictures.text(content, self._unpictured if own else self._unpictured_text)
        if not isinstance(content, str):
            raise UnsupportedParameter("this model reads no pictures", param="messages")
        return content if own else self._control.as_text(content)

    def _unpictured(self, text: str) -> str:
        """A text of the model's own, which has no picture even so."""
        assert self._pictures is not None
        for reserved in self._pictures.reserved:
            text = self._control.broken(text, reserved)
        return text

    def _unpictured_text(self, text: str) -> str:
        """A text of others. What stands for a picture need not be a control token."""
        return self._unpictured(self._control.as_text(text))

    def _text(self, prompt: ChatPrompt, plan: ToolPlan) -> str:
        if not prompt.continue_final:
            return self._render(plan.messages, plan.tools, prompt.template_kwargs)
        *turns, last = plan.messages
        if last["role"] != "assistant":
            raise InvalidRequest("only a last message of the assistant can be continued", param="messages")
        begun = last["content"]
        if begun.strip() and self._tokenizer.has_chat_template:
            options = {**prompt.template_kwargs, "add_generation_prompt": False, "continue_final_message": True}
            if plan.tools is not None:
                options["tools"] = plan.tools
            with contextlib.suppress(Exception):
                text = self._apply([dict(turn) for turn in plan.messages], options)
                if text.rstrip().endswith(begun.strip()):
                    return text
        # The template changes the turn, or has more after it: open a turn, and write its text.
        opening = self._render(turns, plan.tools, prompt.template_kwargs)
        return f"{opening} {begun}" if not self._tokenizer.has_chat_template else opening + begun

    def _opens(self, prompt: ChatPrompt, plan: ToolPlan, text: str) -> bool:
        """Whether the prompt ends inside a thought."""
        format = self._reasoning
        if format is None:
            return False
        begun = plan.messages[-1]["content"] if prompt.continue_final else ""
        return format.opened_by(text) or (format.start in begun and begun.rfind(format.start) > begun.rfind(format.end))

    def _boundaries(
        self, plan: ToolPlan, template_kwargs: Mapping[str, Any], tokens: Sequence[int]
    ) -> tuple[int, list[int]]:
        """(end of the system messages, all boundaries), as in `BuiltPrompt`."""
        if self._trimmable or not self._tokenizer.has_chat_template:
            return 0, []
        messages = plan.messages
        system = list(itertools.takewhile(lambda message: message["role"] in ("system", "developer"), messages))
        key = json.dumps([system, plan.tools, template_kwargs], sort_keys=True, default=str)
        branches = [
            self._tokens_of_system(key) if system or plan.tools else [],
            self._branch([*messages[:-1], {**messages[-1], "content": ""}], plan.tools, template_kwargs),
            self._branch([*messages, *_NEXT_TURN], plan.tools, template_kwargs),
        ]
        ends = [common_prefix(branch, tokens) for branch in branches]
        ends = [end if end < len(tokens) - 1 else 0 for end in ends]
        return ends[0], sorted(set(ends) - {0})

    def _tokens_of_system(self, key: str) -> list[int]:
        tokens = self._of_systems.get(key)
        if tokens is None:
            system, tools, template_kwargs = json.loads(key)
            tokens = self._branch([*system, {"role": "user", "content": ""}], tools, template_kwargs)
            self._of_systems.put(key, tokens, 4 * len(key) + 40 * len(tokens))
        return tokens

    def _branch(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, template_kwargs: Mapping[str, Any]
    ) -> list[int]:
        """Token ids of another prompt; none if the template refuses it."""
        try:
            return self._encode(self._render(messages, tools, template_kwargs), "messages", special=False)
        except InvalidRequest:
            return []

    def checked_ids(self, tokens: Sequence[int], param: str) -> list[int]:
        """The ids, if all are in the model's vocabulary.

        Raises:
            InvalidRequest: one is not.
        """
        for token in tokens:
            if not 0 <= token < self._vocabulary:
                message = f"token id {token} is not in this model's vocabulary (0 to {self._vocabulary - 1})"
                raise InvalidRequest(message, param=param)
        return list(tokens)

    def _encode(self, text: str, param: str, *, special: bool) -> list[int]:
        encode = functools.partial(self._encode_text, param=param, special=special)
        return encode(text) if self._pictures is None else self._pictures.tokens(text, encode, param)

    def _encode_text(self, text: str, *, param: str, special: bool) -> list[int]:
        try:
            first, *others = self._control.parts(text)
            ids: list[int] = self._tokenizer.encode(first, add_special_tokens=special)
            for part in others:
                ids += self._tokenizer.encode(part, add_special_tokens=False)
        except (UnicodeError, TypeError, ValueError) as error:
            raise InvalidRequest(f"the text cannot be tokenised: {error}", param=param) from error
        return ids

    def _start(self) -> int:
        """The token of an empty prompt: the tokenizer's beginning of a sequence, or else its end."""
        for id in (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id):
            if id is not None:
                return int(id)
        return 0

    def _render(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, template_kwargs: Mapping[str, Any]
    ) -> str:
        if not self._tokenizer.has_chat_template:
            return render_plainly(messages)
        options = {"add_generation_prompt": True, **template_kwargs}
        if tools is not None:
            options["tools"] = tools
        try:
            return self._apply(messages, options)
        except Exception as error:
            for order in turn_orders(messages):
                with contextlib.suppress(Exception):
                    return self._apply(order, options)
            raise _template_refusal(error) from error

    def _apply(self, messages: list[dict[str, Any]], options: Mapping[str, Any]) -> str:
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, **options))


def _too_long(tokens: int, limit: int, param: str) -> ContextLengthExceeded:
    return ContextLengthExceeded(
        f"This model's maximum context length is {limit} tokens. However, your {param} resulted in at least {tokens} "
        f"tokens. Please reduce the length of the {param}.",
        param=param,
    )


def _template_refusal(error: Exception) -> InvalidRequest:
    message = f"the model's chat template cannot render these messages: {error}"
    return InvalidRequest(message, param="messages")


def render_plainly(messages: Sequence[Mapping[str, Any]]) -> str:
    """The prompt of a model without a chat template: one `role: content` paragraph per turn, then `assistant:`."""
    turns = [f"{message['role']}: {message['content']}" for message in messages]
    return "\n\n".join([*turns, "assistant:"])


def answer_room(prompt_tokens: int, max_tokens: int | None, limit: int, *, param: str) -> int:
    """The number of tokens that the answer may have: `max_tokens`, and not more than the context has room for. A client
    cannot know that room, so a higher bound is no error. None and -1 are no bound; 0 is no answer.

    Raises:
        InvalidRequest: `max_tokens` is any other number below 0.
        ContextLengthExceeded: the prompt does not fit; in OpenAI's words, with counts.
    """
    if max_tokens is not None and max_tokens < 0 and max_tokens != NO_BOUND:
        raise InvalidRequest(f"max_tokens must be at least 0, not {max_tokens}", param="max_tokens")
    if prompt_tokens > limit - (max_tokens != 0):
        raise ContextLengthExceeded(
            f"This model's maximum context length is {limit} tokens. However, your {param} resulted in "
            f"{prompt_tokens} tokens. Please reduce the length of the {param}.",
            param=param,
        )
    room = limit - prompt_tokens
    return room if max_tokens is None or max_tokens == NO_BOUND else min(max_tokens, room)
