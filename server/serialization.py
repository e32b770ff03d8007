"""The only converter of the process, and contracts as JSON bytes."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.converter import make_converter

__all__ = ["converter", "encode_contract", "encode_json"]

converter = make_converter()

encode_json = msgspec.json.Encoder().encode
"""Builtins to JSON bytes."""


def encode_contract(contract: Any) -> bytes:
    """A contract as JSON bytes."""
    return encode_json(converter.unstructure(contract))
