"""Hooks of attrs classes: they accept only objects, and write no field that is None unless it is marked."""

from __future__ import annotations

from typing import Any

import attrs
from cattrs import BaseConverter, Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from contracts._strict import Hook, Problem, describe

__all__ = ["register_class_hooks"]


def register_class_hooks(converter: Converter) -> None:
    converter.register_structure_hook_factory(attrs.has, _structure)
    converter.register_unstructure_hook_factory(attrs.has, _unstructure)


def _structure(class_: Any, converter: BaseConverter) -> Hook:
    fields = make_dict_structure_fn(class_, converter, _cattrs_use_alias=True)

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise Problem(f"expected an object, got {describe(value)}")
        return fields(value, class_)

    return structure


def _unstructure(class_: Any, converter: BaseConverter) -> Any:
    attrs.resolve_types(class_)
    omitted: dict[str, Any] = {
        attribute.name: override(omit_if_default=True)
        for attribute in attrs.fields(class_)
        if attribute.default is None and not attribute.metadata.get("explicit_null")
    }
    return make_dict_unstructure_fn(class_, converter, _cattrs_use_alias=True, **omitted)
