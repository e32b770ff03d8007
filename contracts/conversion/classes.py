"""Hooks of attrs classes: they accept only objects, and write no field that is None unless it is marked.

A class may keep the fields that it does not have in one of its own, and may take its fields from an object within.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import attrs
from cattrs import BaseConverter, Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from contracts.conversion.strict import Hook, Problem, describe

__all__ = ["own_fields", "register_class_hooks"]


def register_class_hooks(converter: Converter) -> None:
    converter.register_structure_hook_factory(attrs.has, _structure)
    converter.register_unstructure_hook_factory(attrs.has, _unstructure)


def _structure(class_: Any, converter: BaseConverter) -> Hook:
    fields = make_dict_structure_fn(class_, converter, _cattrs_use_alias=True)
    names = {attribute.alias for attribute in attrs.fields(class_)}
    others = _others(class_)

    def structure(value: Any, _: Any) -> Any:
        if value == []:
            value = {}  # as PHP writes an empty object
        if not isinstance(value, dict):
            raise Problem(f"expected an object, got {describe(value)}")
        value = own_fields(value, class_)
        if others is not None:
            known: dict[str, Any] = {others: {}}
            for name, field in value.items():
                (known if name in names and name != others else known[others])[name] = field
            value = known
        return fields(value, class_)

    return structure


def _unstructure(class_: Any, converter: BaseConverter) -> Any:
    attrs.resolve_types(class_)
    omitted: dict[str, Any] = {
        attribute.name: override(omit_if_default=True)
        for attribute in attrs.fields(class_)
        if attribute.default is None and not attribute.metadata.get("explicit_null")
    }
    fields = make_dict_unstructure_fn(class_, converter, _cattrs_use_alias=True, **omitted)
    if (others := _others(class_)) is None:
        return fields

    def unstructure(value: Any) -> dict[str, Any]:
        written: dict[str, Any] = fields(value)
        unknown: dict[str, Any] = written.pop(others)
        return written | unknown

    return unstructure


def own_fields(value: Mapping[str, Any], class_: type[attrs.AttrsInstance]) -> Mapping[str, Any]:
    """The fields of the class in `value`, with those in the object within it that may hold them."""
    within = _within(class_)
    if within is None or not isinstance(inner := value.get(within), dict):
        return value
    return {**inner, **{name: field for name, field in value.items() if name != within}}


@functools.cache
def _within(class_: type[attrs.AttrsInstance]) -> str | None:
    return next((field.metadata["within"] for field in attrs.fields(class_) if "within" in field.metadata), None)


def _others(class_: Any) -> str | None:
    """The name of the field that holds the fields that the class does not have."""
    return next((field.alias for field in attrs.fields(class_) if field.metadata.get("other_fields")), None)
