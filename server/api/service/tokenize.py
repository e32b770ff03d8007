"""`/v1/tokenize` and `/v1/detokenize`."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from litestar import Controller, Request, post
from litestar.params import JSONBody

from contracts.service.tokenize import DetokenizeRequest, DetokenizeResponse, TokenizeRequest, TokenizeResponse
from providers.chat.protocol import CHAT
from providers.chat.types import ChatPrompt, Prompt, TextPrompt
from providers.errors import InvalidRequest
from server.api.error_responses import COUNTING, errors
from server.api.generation.messages import chat_attachments, to_chat_messages
from server.api.generation.parameters import check_template_kwargs
from server.api.generation.parts.pictures import documents, pictures
from server.api.generation.thinking import template_arguments
from server.api.generation.tools import to_tools
from server.dependencies import Chat, ServiceDependency, provide
from server.guards import json_body
from server.media.attachments import Seen

__all__ = ["TokenizeController", "to_prompt"]

_OF_MESSAGES = ("add_generation_prompt", "tools", "chat_template_kwargs")


class TokenizeController(Controller):
    path = "/v1"
    tags = ("Tokens",)
    dependencies = {"chat": provide(CHAT)}  # noqa: RUF012

    @post(
        "/tokenize",
        before_request=json_body,
        status_code=200,
        operation_id="tokenize",
        name="tokenize",
        summary="Return the tokens of a text or a conversation",
        responses=errors(*COUNTING),
    )
    async def tokenize(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[TokenizeRequest],
        chat: Chat,
        service: ServiceDependency,
    ) -> TokenizeResponse:
        contents = documents(service, service.retrieval, chat).contents
        shown = await pictures(chat_attachments(data.messages or []), request, service, contents, chat)
        prompt = to_prompt(data, shown.seen)
        async with service.answering(request.receive):
            tokens = await chat.tokenize(prompt, add_special_tokens=data.add_special_tokens)
            strings = await chat.token_strings(tokens) if data.return_token_strs else None
        return TokenizeResponse(
            count=len(tokens), max_model_len=chat.card.context_length, tokens=tokens, token_strs=strings
        )

    @post(
        "/detokenize",
        before_request=json_body,
        status_code=200,
        operation_id="detokenize",
        name="detokenize",
        summary="Return the text of tokens",
        responses=errors(*COUNTING),
    )
    async def detokenize(
        self, request: Request[Any, Any, Any], data: JSONBody[DetokenizeRequest], chat: Chat, service: ServiceDependency
    ) -> DetokenizeResponse:
        async with service.answering(request.receive):
            return DetokenizeResponse(prompt=await chat.detokenize(data.tokens))


def to_prompt(request: TokenizeRequest, seen: Seen = MappingProxyType({})) -> Prompt:
    """Raises: InvalidRequest, unless there is one of `prompt` and `messages`, with the fields that go with it."""
    if request.messages is None:
        if request.prompt is None:
            raise InvalidRequest("prompt: required where there are no messages", param="prompt")
        for name in _OF_MESSAGES:
            if getattr(request, name) is not None:
                raise InvalidRequest(f"{name} is only allowed with messages", param=name)
        return TextPrompt(request.prompt)
    if request.prompt is not None:
        raise InvalidRequest("messages: send either messages or prompt, not both", param="messages")
    if request.add_special_tokens:
        name = "add_special_tokens"
        raise InvalidRequest(f"{name} is only allowed with a prompt: the chat template adds its own", param=name)
    check_template_kwargs(request.chat_template_kwargs)
    tools, choice = to_tools(request.tools, None, None)
    template_kwargs = template_arguments(request.chat_template_kwargs)
    if request.add_generation_prompt is not None:
        template_kwargs["add_generation_prompt"] = request.add_generation_prompt
    return ChatPrompt(to_chat_messages(request.messages, seen), template_kwargs, tools, choice)
