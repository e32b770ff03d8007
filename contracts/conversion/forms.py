"""Structure hooks for forms, whose values are text: they read booleans, numbers and lists from it.

Text that cannot be read stays text, which the strict hook refuses with its own message.
"""

from __future__ import annotations

from typing import Any

import msgspec
from cattrs import BaseConverter, Converter

from contracts.conversion.strict import Hook, has_origin, strict_list

__all__ = ["register_form_hooks"]


def register_form_hooks(converter: Converter) -> None:
    """Register after the strict hooks."""
    strict_bool, strict_float = converter.get_structure_hook(bool), converter.get_structure_hook(float)
    strict_int = converter.get_structure_hook(int)
    converter.register_structure_hook(bool, lambda value, type_: strict_bool(_bool(value), type_))
    converter.register_structure_hook(int, lambda value, type_: strict_int(_float(value), type_))
    converter.register_structure_hook(float, lambda value, type_: strict_float(_float(value), type_))
    converter.register_structure_hook_factory(has_origin(list), _list)


def _bool(value: Any) -> Any:
    """`true`, `false`, `1` and `0`, in any case."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.convert(value.strip(), bool, strict=False)
    except msgspec.ValidationError:
        return value


def _float(value: Any) -> Any:
    """Any number that Python reads. msgspec refuses `.5` and `5.`."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def _list(type_: Any, converter: BaseConverter) -> Hook:
    """A hook that takes one value as a list of one."""
    hook = strict_list(type_, converter)
    return lambda value, _: hook(value if isinstance(value, list) else [value], type_)
