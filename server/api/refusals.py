"""Parameters that this server knows and cannot honour, as each resource lists them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
import msgspec

from providers.errors import UnsupportedParameter

__all__ = ["Refused", "refuse", "unsupported"]


@attrs.frozen
class Refused:
    """A parameter, the values that match what happens anyway, and what to send instead."""

    name: str
    accepted: tuple[Any, ...] = ()
    hint: str = ""


def refuse(contract: Any, parameters: Iterable[Refused], *, path: str = "") -> None:
    """Refuse the first of these parameters that has another value than the accepted ones.

    `contract` is the request, or an object inside it whose fields begin with `path`, as in `reasoning.`.

    Raises:
        UnsupportedParameter: `param` names it.
    """
    for refused in parameters:
        value = getattr(contract, refused.name)
        if value is not None and value not in refused.accepted:
            raise unsupported(path + refused.name, refused.hint or _other_values(refused))


def unsupported(path: str, hint: str) -> UnsupportedParameter:
    """The refusal of the parameter at `path`. `hint` completes the sentence with what to send instead."""
    return UnsupportedParameter(f"{path} is not supported by this server; {hint}", param=path)


def _other_values(refused: Refused) -> str:
    values = " or ".join(msgspec.json.encode(value).decode() for value in refused.accepted)
    return f"leave it out or set it to {values}" if values else "leave it out"
