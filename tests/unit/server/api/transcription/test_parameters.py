"""Every parameter of a transcription is honoured or noted, as its contract states."""

from __future__ import annotations

import pytest

from contracts.transcription import CreateTranscriptionRequest, CreateTranslationRequest
from tests.unit.server.parameters import with_status


def test_translations_take_what_transcriptions_honour() -> None:
    honoured = with_status(CreateTranscriptionRequest, "honoured")
    assert with_status(CreateTranslationRequest, "honoured") == honoured - {"languages"}


@pytest.mark.parametrize("contract", [CreateTranscriptionRequest, CreateTranslationRequest])
def test_no_field_is_refused(contract: type[CreateTranscriptionRequest]) -> None:
    assert with_status(contract, "refused") == set()
