"""The CUDA devices of each of a model's replicas."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from providers.capabilities import HAS_NVIDIA_DRIVER
from providers.spec import ModelSpec

__all__ = ["VISIBLE_DEVICES", "check_devices", "devices_of", "environment_of", "seen_devices"]

VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"
"""The variable that hides all other devices from a process."""


def devices_of(spec: ModelSpec, replica: int) -> tuple[int, ...]:
    """The devices of the replica of this number, one for each rank; empty: it is bound to none."""
    first = replica * spec.ranks
    return tuple(spec.devices[place % len(spec.devices)] for place in range(first, first + spec.ranks) if spec.devices)


def environment_of(devices: Sequence[int]) -> Mapping[str, str] | None:
    """Variables that make a process, or the launcher of ranks, see only these devices; None: all that the server sees.

    `devices`: none of them for that.
    """
    if not devices:
        return None
    seen = seen_devices()
    return {VISIBLE_DEVICES: ",".join(str(device) if seen is None else seen[device] for device in devices)}


def check_devices(devices: Sequence[int], replicas: int, ranks: int) -> None:
    """Check the devices of a model's replicas, each of which has this number of ranks.

    Raises:
        ValueError: there is no such device, or a device would have no replica, or a rank no device.
    """
    if not devices:
        return
    if not HAS_NVIDIA_DRIVER:
        raise ValueError("needs NVIDIA's driver, which this machine does not have; replicas share its device without")
    if len(devices) % ranks:
        raise ValueError(f"has {len(devices)} devices for groups of {ranks} processes; each process needs one")
    if len(devices) > replicas * ranks:
        of_ranks = f" of {ranks} processes" if ranks > 1 else ""
        raise ValueError(f"has {len(devices)} devices for --replicas {replicas}{of_ranks}; each device needs a replica")
    seen = seen_devices()
    hidden = [] if seen is None else [device for device in devices if device >= len(seen)]
    if seen is not None and hidden:
        raise ValueError(
            f"has device {hidden[0]}, but {VISIBLE_DEVICES} leaves {len(seen)} to this server, counted from 0"
        )


def seen_devices() -> list[str] | None:
    """The names of the devices that this process sees; None: all of them."""
    given = os.environ.get(VISIBLE_DEVICES)
    return None if given is None else [name.strip() for name in given.split(",") if name.strip()]
