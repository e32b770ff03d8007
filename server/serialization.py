"""The converters of the process, and contracts as JSON bytes."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.conversion.converter import make_converter, make_form_converter

__all__ = ["converter", "encode_contract", "encode_json", "form_converter"]

converter = make_converter()

form_converter = make_form_converter()
"""For the fields of forms."""

encode_json = msgspec.json.Encoder().encode
"""Builtins to JSON bytes."""


def encode_contract(contract: Any) -> bytes:
    """A contract as JSON bytes."""
    return encode_json(converter.unstructure(contract))
