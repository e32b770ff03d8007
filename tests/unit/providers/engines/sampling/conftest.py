"""What draws the tokens."""

from __future__ import annotations

import pytest

from providers.engines.sampling import batched_step, samplers


@pytest.fixture(params=["host", "device"])
def drawing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What draws in this test: numpy, or the operations for a GPU."""
    for module in (samplers, batched_step):
        monkeypatch.setattr(module, "on_host", lambda: request.param == "host")
    return str(request.param)
