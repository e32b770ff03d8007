"""`/v1/tokenize` and `/v1/detokenize`."""

from __future__ import annotations

from litestar import Controller, post
from litestar.di import Provide
from litestar.params import JSONBody

from contracts.service.tokenize import DetokenizeRequest, DetokenizeResponse, TokenizeRequest, TokenizeResponse
from server.api._error_responses import errors
from server.api.service.tokens import to_prompt
from server.dependencies import Chat, provide_chat
from server.guards import json_body

__all__ = ["TokenizeController"]


class TokenizeController(Controller):
    path = "/v1"
    tags = ("Tokens",)
    guards = (json_body,)
    dependencies = {"chat": Provide(provide_chat, sync_to_thread=False)}  # noqa: RUF012

    @post(
        "/tokenize",
        status_code=200,
        operation_id="tokenize",
        name="tokenize",
        summary="Tell the tokens of a text or a conversation",
        responses=errors(400, 401, 404, 413, 415, 500, 503),
    )
    async def tokenize(self, data: JSONBody[TokenizeRequest], chat: Chat) -> TokenizeResponse:
        tokens = await chat.tokenize(to_prompt(data), add_special_tokens=data.add_special_tokens)
        return TokenizeResponse(
            count=len(tokens),
            max_model_len=chat.card.context_length,
            tokens=tokens,
            token_strs=await chat.token_strings(tokens) if data.return_token_strs else None,
        )

    @post(
        "/detokenize",
        status_code=200,
        operation_id="detokenize",
        name="detokenize",
        summary="Tell the text of tokens",
        responses=errors(400, 401, 404, 413, 415, 500, 503),
    )
    async def detokenize(self, data: JSONBody[DetokenizeRequest], chat: Chat) -> DetokenizeResponse:
        return DetokenizeResponse(prompt=await chat.detokenize(data.tokens))
