"""The CUDA device of each of a model's replicas."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from providers.capabilities import HAS_NVIDIA_DRIVER
from providers.spec import ModelSpec

__all__ = ["check_devices", "device_of", "environment_of"]

_VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The variable that hides all other devices from a process."""


def device_of(spec: ModelSpec, replica: int) -> int | None:
    """The device of the replica of this number; None: it is bound to none."""
    return spec.devices[replica % len(spec.devices)] if spec.devices else None


def environment_of(device: int | None) -> Mapping[str, str] | None:
    """Variables that make a process see only this device; None: it sees what the server sees."""
    if device is None:
        return None
    seen = _seen()
    return {_VISIBLE: str(device) if seen is None else seen[device]}


def check_devices(devices: Sequence[int], replicas: int) -> None:
    """Check the devices of a model's replicas.

    Raises:
        ValueError: there is no such device, or a device would have no replica.
    """
    if not devices:
        return
    if not HAS_NVIDIA_DRIVER:
        raise ValueError("needs NVIDIA's driver, which this machine does not have; replicas share its device without")
    if len(devices) > replicas:
        raise ValueError(f"has {len(devices)} devices for --replicas {replicas}; each device needs a replica")
    seen = _seen()
    hidden = [] if seen is None else [device for device in devices if device >= len(seen)]
    if seen is not None and hidden:
        raise ValueError(f"has device {hidden[0]}, but {_VISIBLE} leaves {len(seen)} to this server, counted from 0")


def _seen() -> list[str] | None:
    """The devices that the server sees; None: all of them."""
    given = os.environ.get(_VISIBLE)
    return None if given is None else [name.strip() for name in given.split(",") if name.strip()]
