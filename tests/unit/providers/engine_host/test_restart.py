"""How long the host waits before it restarts an engine."""

from __future__ import annotations

import pytest

from providers.engine_host.restart import RestartPolicy, Starts


@pytest.mark.parametrize(("deaths", "seconds"), [(1, 0.25), (2, 0.5), (5, 4.0), (8, 30.0), (1_026, 30.0)])
def test_the_delay_doubles_up_to_its_bound(deaths: int, seconds: float) -> None:
    assert RestartPolicy().delay(deaths) == seconds


def test_a_model_that_never_was_ready_is_given_up() -> None:
    starts = Starts(RestartPolicy(attempts=3))
    assert [starts.died(None) for _ in range(3)] == [0.25, 0.5, None]


def test_a_model_that_was_ready_once_is_never_given_up() -> None:
    starts = Starts(RestartPolicy(attempts=3))
    assert starts.died(1.0) == 0.25
    assert [starts.died(None) for _ in range(1000)][-1] == 30.0


def test_a_long_life_starts_a_new_count() -> None:
    starts = Starts(RestartPolicy())
    assert [starts.died(1.0), starts.died(1.0), starts.died(30.0), starts.died(1.0)] == [0.25, 0.5, 0.25, 0.5]
