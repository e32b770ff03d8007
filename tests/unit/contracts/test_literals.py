"""Literals of the contracts, which repeat names of the providers because `contracts` imports nothing of ours."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest

from contracts.chat.response import FinishReason
from contracts.completions import CompletionChoice
from contracts.responses.tools import ToolChoiceOptions
from contracts.service.health import Health
from contracts.service.models import Model, ModelStatus
from contracts.transcription import TranscriptionVerbose
from contracts.voices import Voice
from providers import protocols
from providers.chat import types as chat
from providers.speech import types as speech
from providers.transcription import types as transcription


def hint(class_: type[Any], field: str) -> Any:
    return get_type_hints(class_)[field]


def names(type_: Any) -> set[str]:
    """The names of a literal, optional or not."""
    return {name for arm in get_args(type_) for name in (get_args(arm) or (arm,)) if isinstance(name, str)}


@pytest.mark.parametrize(
    ("contract", "provider"),
    [
        pytest.param(FinishReason, chat.FinishReason, id="why a choice ended"),
        pytest.param(ToolChoiceOptions, hint(chat.ToolChoice, "mode"), id="whether a tool is called"),
        pytest.param(ModelStatus, protocols.ModelStatus, id="the state of a model"),
        pytest.param(hint(Voice, "gender"), speech.Gender, id="the gender of a voice"),
        pytest.param(hint(TranscriptionVerbose, "task"), transcription.Task, id="what is done with a recording"),
    ],
)
def test_a_literal_has_the_names_of_the_providers(contract: Any, provider: Any) -> None:
    assert names(contract) == names(provider)


def test_a_completion_has_the_finish_reasons_of_a_chat_except_calls() -> None:
    assert names(hint(CompletionChoice, "finish_reason")) == names(chat.FinishReason) - {"tool_calls"}


def test_a_model_reads_text_and_the_media_of_the_providers() -> None:
    (listed, _) = get_args(hint(Model, "input_modalities"))
    assert {*get_args(get_args(listed)[0])} == {"text", *get_args(protocols.Medium)}


def test_health_has_the_states_of_models() -> None:
    assert get_args(hint(Health, "models"))[1] == ModelStatus
