"""Fields that this server cannot honour: how a request that carries one is refused, or the field noted."""

from __future__ import annotations

import functools

import attrs
import msgspec

from contracts.parameters import Parameter, parameters
from providers.errors import UnsupportedParameter
from server.noted import note

__all__ = ["check_deeply", "check_parameters", "unsupported"]


def check_parameters(contract: attrs.AttrsInstance, *, path: str = "") -> None:
    """Refuse the first field that the server cannot honour, and note those that have no effect.

    `contract` is the request, or an object inside it whose fields begin with `path`, as in `reasoning.`. The objects
    inside it are not checked.

    Raises:
        UnsupportedParameter: `param` names the field. With `--strict-parameters` it may be one without effect.
    """
    for name, parameter in _without_effect(type(contract)):
        value = getattr(contract, name)
        if value is None or value in parameter.accepted:
            continue
        if parameter.status == "refused":
            raise unsupported(path + name, parameter.instead or _other_values(parameter))
        note(path + name)


def check_deeply(contract: attrs.AttrsInstance, *, path: str = "") -> None:
    """`check_parameters` of a request and of the objects inside it, at any depth.

    The index in a list is left out of a path, so that a field of every turn is one name.

    Raises:
        UnsupportedParameter: as `check_parameters`.
    """
    check_parameters(contract, path=path)
    for name in _names(type(contract)):
        value = getattr(contract, name)
        if attrs.has(type(value)):
            check_deeply(value, path=f"{path}{name}.")
        elif isinstance(value, list):
            for item in value:
                if attrs.has(type(item)):
                    check_deeply(item, path=f"{path}{name}[].")


def unsupported(path: str, hint: str) -> UnsupportedParameter:
    """The refusal of the parameter at `path`. `hint` completes the sentence with what to send instead."""
    return UnsupportedParameter(f"{path} is not supported by this server; {hint}", param=path)


@functools.cache
def _without_effect(contract: type[attrs.AttrsInstance]) -> tuple[tuple[str, Parameter], ...]:
    return tuple((name, found) for name, found in parameters(contract).items() if found.status != "honoured")


@functools.cache
def _names(contract: type[attrs.AttrsInstance]) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(contract))


def _other_values(parameter: Parameter) -> str:
    values = " or ".join(msgspec.json.encode(value).decode() for value in parameter.accepted)
    return f"leave it out or set it to {values}" if values else "leave it out"
