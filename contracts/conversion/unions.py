"""Structure hooks of unions: the JSON type selects the arm, and among objects the literal in their `type` field.

Beside such classes, `JsonObject`, or a class whose `type` is any text, takes the objects of every other `type`.
An object without `type` is of the class whose `type` has a default; a union has at most one such class. A class
without a `type` field is the only class of its union.
"""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs
from cattrs import BaseConverter, Converter
from cattrs.errors import AttributeValidationNote, ClassValidationError

from contracts.conversion.strict import Hook, Problem, describe

__all__ = ["register_union_hooks"]

_NAMES = {str: "a string", list: "an array", dict: "an object", bool: "a boolean", int: "an integer", float: "a number"}


def register_union_hooks(converter: Converter) -> None:
    converter.register_structure_hook_factory(_is_union, _union)


def _is_union(type_: Any) -> bool:
    """Whether this is a union of more than one type and None. cattrs itself handles the others."""
    return get_origin(type_) in (Union, UnionType) and len(set(get_args(type_)) - {NoneType}) > 1


def _union(type_: Any, converter: BaseConverter) -> Hook:
    arms: dict[type, tuple[Any, Hook]] = {}
    tagged: dict[str, tuple[Any, Hook]] = {}
    untagged: tuple[Any, Hook] | None = None
    others: tuple[Any, Hook] | None = None
    optional = NoneType in get_args(type_)
    for arm in (arm for arm in get_args(type_) if arm is not NoneType):
        entry = (arm, converter.get_structure_hook(arm))
        if attrs.has(arm) and "type" not in attrs.fields_dict(arm):
            arms[dict] = entry
        elif attrs.has(arm) and get_type_hints(arm)["type"] is str:
            others = entry
        elif attrs.has(arm):
            tagged |= dict.fromkeys(_tags(arm), entry)
            if attrs.fields_dict(arm)["type"].default is not attrs.NOTHING:
                untagged = entry
        else:
            arms[_json_type(arm)] = entry
    if tagged:
        arms[dict] = (type_, _by_tag(type_, tagged, untagged, others or arms.get(dict)))
    expected = " or ".join(_NAMES[json_type] for json_type in arms)
    if (number := arms.get(int) or arms.get(float)) is not None:
        arms.setdefault(int, number)
        arms.setdefault(float, number)

    def structure(value: Any, _: Any) -> Any:
        if value is None and optional:
            return None
        found = arms.get(type(value))
        if found is None and value == []:
            found, value = arms.get(dict), {}  # as PHP writes an empty object
        if found is None:
            raise Problem(f"expected {expected}, got {describe(value)}")
        arm, hook = found
        return hook(value, arm)

    return structure


def _by_tag(
    type_: Any,
    tagged: dict[str, tuple[Any, Hook]],
    untagged: tuple[Any, Hook] | None,
    others: tuple[Any, Hook] | None,
) -> Hook:
    expected = "expected one of " + ", ".join(repr(tag) for tag in tagged)

    def structure(value: Any, _: Any) -> Any:
        tag = value.get("type")
        if tag is None and untagged is not None:
            arm, hook = untagged
            return hook({name: field for name, field in value.items() if name != "type"}, arm)
        found = tagged.get(tag, others) if isinstance(tag, str) else None
        if found is None:
            problem: Exception = KeyError("type") if "type" not in value else Problem(expected)
            problem.add_note(AttributeValidationNote("the discriminator", "type", str))
            raise ClassValidationError("no such variant", [problem], type_)
        arm, hook = found
        return hook(value, arm)

    return structure


def _tags(class_: type) -> tuple[str, ...]:
    tag = get_type_hints(class_)["type"]
    if get_origin(tag) is not Literal:
        raise TypeError(f"{class_.__name__}.type must be a Literal in a union")
    return get_args(tag)


def _json_type(arm: Any) -> type:
    if get_origin(arm) is Annotated:
        return _json_type(get_args(arm)[0])
    if get_origin(arm) is Literal:
        return str
    json_type: type = get_origin(arm) or arm
    return json_type
