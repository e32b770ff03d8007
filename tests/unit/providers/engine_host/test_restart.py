"""How long the host waits before it restarts an engine."""

from __future__ import annotations

import pytest

from providers.engine_host.host import RestartPolicy


@pytest.mark.parametrize(("deaths", "seconds"), [(1, 0.25), (2, 0.5), (5, 4.0), (8, 30.0), (1_026, 30.0)])
def test_the_delay_doubles_up_to_its_bound(deaths: int, seconds: float) -> None:
    assert RestartPolicy().delay(deaths) == seconds
