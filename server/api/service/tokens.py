"""What to tokenise, from the wire to the domain."""

from __future__ import annotations

from contracts.service.tokenize import TokenizeRequest
from providers.chat.types import ChatPrompt, Prompt, TextPrompt
from providers.errors import InvalidRequest
from server.api.chat.parameters import check_template_kwargs
from server.api.generation.messages import to_chat_messages
from server.api.generation.tools import to_tools

__all__ = ["to_prompt"]

_OF_MESSAGES = ("add_generation_prompt", "tools", "chat_template_kwargs")


def to_prompt(request: TokenizeRequest) -> Prompt:
    """Raises: InvalidRequest, unless there is one of `prompt` and `messages`, with the fields that go with it."""
    if request.messages is None:
        if request.prompt is None:
            raise InvalidRequest("prompt: required, unless there are messages", param="prompt")
        for name in _OF_MESSAGES:
            if getattr(request, name) is not None:
                raise InvalidRequest(f"{name} is only allowed with messages", param=name)
        return TextPrompt(request.prompt)
    if request.prompt is not None:
        raise InvalidRequest("messages: there is a prompt already; send one of them", param="messages")
    if request.add_special_tokens:
        name = "add_special_tokens"
        raise InvalidRequest(f"{name} is only allowed with a prompt: the chat template adds its own", param=name)
    check_template_kwargs(request.chat_template_kwargs)
    tools, choice = to_tools(request.tools, None, None)
    template_kwargs = dict(request.chat_template_kwargs or {})
    if request.add_generation_prompt is not None:
        template_kwargs["add_generation_prompt"] = request.add_generation_prompt
    return ChatPrompt(to_chat_messages(request.messages), template_kwargs, tools, choice)
