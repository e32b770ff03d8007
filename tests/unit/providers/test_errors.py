"""The tree of errors, and how they cross the engine's socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from providers import errors
from providers.errors import ServiceError


def tree(root: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from tree(child)


@pytest.mark.parametrize("error", [*tree(ServiceError)])
def test_every_error_is_rebuilt_from_its_fields(error: type[ServiceError]) -> None:
    sent = error("what happened", param="messages[0]", retry_after=2.5)

    received = ServiceError.from_fields(**sent.to_fields())

    assert type(received) is error
    assert received.to_fields() == sent.to_fields()


def test_an_unknown_code_is_an_internal_error() -> None:
    assert type(ServiceError.from_fields("no_such_code", "x", None, None)) is errors.InternalError


def test_two_errors_cannot_have_the_same_code() -> None:
    with pytest.raises(TypeError, match="QueueFull"):
        type("Overloaded", (ServiceError,), {"code": "queue_full"})


def test_a_class_without_its_own_code_does_not_change_the_table() -> None:
    type("Detail", (errors.QueueFull,), {})
    assert type(ServiceError.from_fields("queue_full", "x", None, None)) is errors.QueueFull
