"""Every parameter of a transcription is honoured or refused, as its contract states."""

from __future__ import annotations

from contracts.transcription import CreateTranscriptionRequest, CreateTranslationRequest
from tests.unit.server.parameters import with_status

REFUSED = {"keywords", "known_speaker_names", "known_speaker_references", "languages"}
"""Fields whose refusal tests/unit/server/api/transcription/test_transcription.py checks."""


def test_what_is_refused_is_stated() -> None:
    assert with_status(CreateTranscriptionRequest, "refused") == REFUSED


def test_translations_take_what_transcriptions_honour() -> None:
    honoured = with_status(CreateTranscriptionRequest, "honoured")
    assert with_status(CreateTranslationRequest, "honoured") == honoured
    assert with_status(CreateTranslationRequest, "refused") == set()
