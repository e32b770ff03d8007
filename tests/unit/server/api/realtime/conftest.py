from __future__ import annotations

import pytest

from server.api.realtime.audio import playback


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that playback reads."""
    seconds = [100.0]
    monkeypatch.setattr(playback, "now", lambda: seconds[0])
    return seconds
