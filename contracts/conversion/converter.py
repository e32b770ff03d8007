"""The converter between JSON and contracts.

It is strict (no value is coerced), complete (every problem has a path) and quiet (fields that are None are not written,
except those marked `EXPLICIT_NULL`). It is a plain cattrs converter, because cattrs's msgspec preset passes simple
classes to msgspec, which ignores these hooks.
"""

from __future__ import annotations

from cattrs import Converter

from contracts.conversion.classes import register_class_hooks
from contracts.conversion.forms import register_form_hooks
from contracts.conversion.lenient import register_lenient_hooks
from contracts.conversion.strict import register_strict_hooks
from contracts.conversion.unions import register_union_hooks

__all__ = ["configure_converter", "make_converter", "make_form_converter"]


def configure_converter(converter: Converter) -> None:
    """Register every hook that contracts need."""
    register_strict_hooks(converter)
    register_lenient_hooks(converter)
    register_union_hooks(converter)
    register_class_hooks(converter)


def make_converter() -> Converter:
    """A converter for every class of this package."""
    converter = Converter(use_alias=True, detailed_validation=True)
    configure_converter(converter)
    return converter


def make_form_converter() -> Converter:
    """A converter for the fields of forms, which have text where JSON has booleans and numbers."""
    converter = make_converter()
    register_form_hooks(converter)
    return converter
