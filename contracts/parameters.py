"""What the server does with each field of a request, as attrs metadata of the field.

The refusals and notes of `server/api`, the tables in `docs/` and the descriptions in the OpenAPI document read it.
Texts are Markdown, and links lead to sections of the page in `docs/`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any, Literal

import attrs

__all__ = ["Parameter", "Status", "honoured", "noted", "parameters", "refused"]

Status = Literal["honoured", "noted", "refused"]
"""`honoured`: the field has its effect. `noted`: it is accepted without effect, and the response's
`X-Ignored-Parameters` header names it. `refused`: it is a 400, except for values that match what happens anyway."""

_KEY = "parameter"


@attrs.frozen(kw_only=True)
class Parameter:
    """The server's answer to a field."""

    status: Status
    note: str = ""
    """Information beyond the type, the range and the default."""
    values: str = ""
    """The values in words, if the type is not enough."""
    default: Any = None
    """The value that means the same as leaving the field out. None: `otherwise` describes what happens then."""
    otherwise: str = ""
    accepted: tuple[Any, ...] = ()
    """The values of a refused or noted field that match what happens anyway."""
    instead: str = ""
    """What to send instead of a refused field, as the end of a sentence."""

    @property
    def default_text(self) -> str:
        """What happens to a request without the field."""
        return self.otherwise if self.default is None else f"`{_json(self.default)}`"

    @property
    def accepted_text(self) -> str:
        """The accepted values of a refused field; empty if there are none."""
        return " or ".join(f"`{_json(value)}`" for value in self.accepted)


def _json(value: Any) -> str:
    """A value as JSON, but a non-empty string without quotes."""
    return value if isinstance(value, str) and value else json.dumps(value)


def honoured(note: str = "", *, values: str = "", default: Any = None, otherwise: str = "") -> dict[str, Any]:
    """Metadata of a field that has an effect."""
    return _metadata(Parameter(status="honoured", note=note, values=values, default=default, otherwise=otherwise))


def noted(note: str = "", *, accepted: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Metadata of a field that is accepted without effect. The `accepted` values match what happens anyway, and are not
    noted."""
    return _metadata(Parameter(status="noted", note=note, accepted=accepted))


def refused(*accepted: Any, note: str = "", instead: str = "") -> dict[str, Any]:
    """Metadata of a field that the server cannot honour, unless it has one of the `accepted` values."""
    return _metadata(Parameter(status="refused", note=note, accepted=accepted, instead=instead))


def _metadata(parameter: Parameter) -> dict[str, Any]:
    return {_KEY: parameter}


@functools.cache
def parameters(contract: type[attrs.AttrsInstance]) -> Mapping[str, Parameter]:
    """The parameters of a class by the names of their fields. Fields without metadata are left out."""
    return {field.name: field.metadata[_KEY] for field in attrs.fields(contract) if _KEY in field.metadata}
