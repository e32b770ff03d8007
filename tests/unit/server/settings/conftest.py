"""A machine on which every option can be used."""

import pytest


@pytest.fixture(autouse=True)
def _with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices are refused without NVIDIA's driver."""
    monkeypatch.setattr("providers.devices.HAS_NVIDIA_DRIVER", True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
