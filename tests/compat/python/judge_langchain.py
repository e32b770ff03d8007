"""LangChain's standard tests of a chat model, over three of the server's APIs.

Run by `make compat` in an environment of its own, with the server's address in COMPAT_URL and the model's id in
COMPAT_MODEL.
"""

from __future__ import annotations

import os
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

URL = os.environ["COMPAT_URL"]
MODEL = os.environ["COMPAT_MODEL"]


class _Standard(ChatModelIntegrationTests):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        base = {"model": MODEL, "api_key": "unused", "temperature": 0, "max_retries": 0, "timeout": 120}
        return {**base, "max_tokens": 128}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return MODEL


class TestChatCompletions(_Standard):
    """`POST /v1/chat/completions`."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "base_url": f"{URL}/v1", "stream_usage": True}


class TestResponses(_Standard):
    """`POST /v1/responses`."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "base_url": f"{URL}/v1", "use_responses_api": True}


class TestMessages(_Standard):
    """`POST /v1/messages`."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatAnthropic

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "base_url": URL}

    @property
    def supports_json_mode(self) -> bool:
        return False  # the class has none

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True
