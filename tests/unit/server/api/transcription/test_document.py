"""docs/transcription.md says of every field what happens to it."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

from contracts.transcription import CreateTranscriptionRequest, CreateTranslationRequest
from server.api.transcription.request import REFUSED

DOCUMENT = Path(__file__).parents[5] / "docs" / "transcription.md"
ROWS = dict(re.findall(r"^\| `(\w+)` \| (honoured|refused) \|", DOCUMENT.read_text(), re.MULTILINE))


def test_every_field_has_a_row_and_every_row_a_field() -> None:
    assert set(ROWS) == {field.name for field in attrs.fields(CreateTranscriptionRequest)}


def test_what_is_refused_is_told_to_be() -> None:
    assert {name for name, status in ROWS.items() if status == "refused"} == {refused.name for refused in REFUSED}


def test_translations_take_what_transcriptions_honour() -> None:
    honoured = {name for name, status in ROWS.items() if status == "honoured"}
    assert {field.name for field in attrs.fields(CreateTranslationRequest)} == honoured
