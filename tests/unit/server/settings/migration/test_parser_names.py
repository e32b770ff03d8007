"""Other servers' names for parsers lead to parsers of the engine, and hide none of its own names."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from providers.engines.output.markup import reasoning_format_names, tool_format_names
from server.settings.migration.parser_names import REASONING_PARSERS, TOOL_CALL_PARSERS


@pytest.mark.parametrize(
    ("synonyms", "names"),
    [(TOOL_CALL_PARSERS, tool_format_names()), (REASONING_PARSERS, reasoning_format_names())],
    ids=["tool calls", "reasoning"],
)
def test_every_synonym_leads_to_a_name_of_the_engine(synonyms: Mapping[str, str], names: list[str]) -> None:
    assert set(synonyms.values()) <= set(names)
    assert synonyms.keys().isdisjoint(names)
