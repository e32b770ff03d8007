"""The limit of file descriptors: raised, never lowered, and shared by the listening sockets."""

from __future__ import annotations

import resource

import pytest

from server.run.descriptors import connections_within, raise_limit

NONE = resource.RLIM_INFINITY


class System:
    """Limits of a process; a soft limit over `most` is refused, as macOS does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, most: int) -> None:
        self.limits = (soft, hard)
        self._most = most
        monkeypatch.setattr(resource, "getrlimit", lambda _: self.limits)
        monkeypatch.setattr(resource, "setrlimit", self._set)

    def _set(self, _: int, limits: tuple[int, int]) -> None:
        if limits[0] > self._most:
            raise ValueError("current limit exceeds maximum limit")
        self.limits = limits


@pytest.mark.parametrize(
    ("soft", "hard", "most", "after"),
    [
        (1_024, 1_048_576, 1_048_576, 20_000),
        (1_024, 4_096, 4_096, 4_096),
        (256, NONE, 10_240, 10_240),
        (256, NONE, 1_000_000, 20_000),
        (65_536, 65_536, 65_536, 65_536),
        (256, 256, 256, 256),
    ],
)
def test_the_limit_is_raised_as_far_as_the_system_allows(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, most: int, after: int
) -> None:
    system = System(monkeypatch, soft, hard, most)

    assert raise_limit(20_000) == after
    assert system.limits == (after, hard)


def test_a_process_without_a_limit_keeps_none(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(monkeypatch, NONE, NONE, 10)
    assert raise_limit(20_000) == 20_000
    assert system.limits == (NONE, NONE)


def test_connections_leave_descriptors_for_everything_else() -> None:
    assert connections_within(10_240, 4_096, 2) == 4_096
    assert connections_within(1_024, 4_096, 2) == 256
    assert connections_within(256, 4_096, 1) == 1
