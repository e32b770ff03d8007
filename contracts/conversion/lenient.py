"""Structure hooks of values that clients send in more than one form."""

from __future__ import annotations

import json
from typing import Any

from cattrs import Converter

from contracts._fields import JsonText
from contracts.conversion.strict import MAX_DEPTH, free_form

__all__ = ["register_lenient_hooks"]


def register_lenient_hooks(converter: Converter) -> None:
    converter.register_structure_hook_func(lambda type_: type_ == JsonText, _text)


def _text(value: Any, _: Any) -> str:
    """Text as it is, and any other value as JSON. Null is no text."""
    found = free_form(value, MAX_DEPTH)
    if found is None:
        return ""
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
