"""The fields of a request by what the server does with them."""

from __future__ import annotations

import attrs

from contracts.parameters import Status, parameters

__all__ = ["with_status"]


def with_status(contract: type[attrs.AttrsInstance], status: Status) -> set[str]:
    return {name for name, parameter in parameters(contract).items() if parameter.status == status}
