"""`python -m providers.engines.group.launch RANKS HOSTFILE COMMAND…`: MLX's own launcher, for one engine.

Every rank runs COMMAND. HOSTFILE is MLX's, or empty: all ranks then run on this machine. The first host of the file is
this machine, since rank 0 has the server's socket. The file names the backend; otherwise MLX chooses it.

Names of `mlx._distributed_utils.launch` that are replaced; `test_launch.py` fails if one is gone:

| name in MLX | why |
| --- | --- |
| `select` | it waits until a rank can be written to, which it always can: each rank kept a core busy. Nothing is sent |
| `Hostfile.from_file` | the first host's ranks are started without ssh |
| `RemoteProcess.make_launch_script` | it numbers all GPUs of a machine; this process may have been given some of them |
"""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import socket
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mlx._distributed_utils import launch as mlx_launch

from providers.devices import VISIBLE_DEVICES, seen_devices
from providers.engines.group.address import HOST_VARIABLE
from providers.engines.process.isolation import die_with_parent

__all__ = ["main"]

LOOPBACK = "127.0.0.1"
_launch: Any = mlx_launch
_Hostfile: Any = _launch.Hostfile
_read_hostfile = _Hostfile.from_file
_RemoteProcess: Any = _launch.RemoteProcess
_make_script = _RemoteProcess.make_launch_script
_POLL_SECONDS = 0.1
"""The longest wait for the output of a rank. MLX's launcher notices its end only between two of them."""
_FIRST_PORT, _PORTS = 20_000, 12_000
"""Below the ports that systems give to outgoing connections."""


def main(arguments: Sequence[str]) -> None:
    """Run the ranks until one of them ends, then end the others.

    The arguments are those of the module. Raises:
        SystemExit: MLX's launcher refuses the hostfile or the backend.
    """
    ranks, hostfile, *command = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # STACK_SIGNAL goes to the whole process group
    die_with_parent()
    _launch.select = _until_readable
    _Hostfile.from_file = _from_here
    _RemoteProcess.make_launch_script = staticmethod(_script_on_own_device)
    hosts = _from_here(hostfile).hosts if hostfile else []
    os.environ[HOST_VARIABLE] = _address(hosts)
    if not hosts:
        _share_cores(int(ranks))
    # With NCCL, the ranks of a host take its GPUs in turn: as many as a host is repeated.
    repeated = str(max(Counter(host.ssh_hostname for host in hosts).values())) if hosts else ranks
    where = [*(["--hostfile", hostfile] if hosts else ["--hosts", LOOPBACK]), "--repeat-hosts", repeated]
    ports = [str(port) for port in _free_ports(1 + max(int(ranks), sum(len(host.ips) for host in hosts)))]
    # Nothing ever comes from this stdin, and it does not end: MLX's launcher polls one that has ended without a pause.
    os.dup2(os.pipe()[0], 0)
    sys.argv = ["mlx.launch", *where, "--starting-port", ports[1], "--nccl-port", ports[0], "--", *command]
    _launch.main()


def _until_readable(readers: list[int], _writers: list[int], others: list[int], timeout: float) -> Any:
    return select.select(readers, [], others, min(timeout, _POLL_SECONDS))


def _from_here(path: str) -> Any:
    """MLX's hostfile, with this machine as its first host, also where that has several ranks."""
    hostfile = _read_hostfile(path)
    here = {host.ssh_hostname for host in hostfile.hosts[:1]}
    hostfile.hosts = [
        dataclasses.replace(host, ssh_hostname=LOOPBACK) if host.ssh_hostname in here else host
        for host in hostfile.hosts
    ]
    return hostfile


def _script_on_own_device(
    rank: int, python: Any, cwd: Any, files: Any, env: Sequence[str], command: Any, is_local: bool
) -> str:
    """MLX's script that starts a rank: on this machine, with the GPU at its place among those seen here."""
    if is_local and env and env[-1].startswith(f"{VISIBLE_DEVICES}="):  # MLX's own, with NCCL
        env = [*env[:-1], f"{VISIBLE_DEVICES}={_name_of(int(env[-1].partition('=')[2]))}"]
    script: str = _make_script(rank, python, cwd, files, env, command, is_local)
    return script


def _name_of(place: int) -> str:
    """The name of the GPU at a place among those that this process sees."""
    seen = seen_devices()
    if seen is None:
        return str(place)
    if place >= len(seen):
        raise SystemExit(f"{VISIBLE_DEVICES} leaves {len(seen)} GPUs to ranks that need one each")
    return seen[place]


def _address(hosts: Sequence[Any]) -> str:
    """Where the other ranks reach this machine. `hosts`: those of the hostfile; empty without one."""
    if not hosts:
        return LOOPBACK
    return next(iter(hosts[0].ips), None) or socket.gethostname()


def _share_cores(ranks: int) -> None:
    """Let the ranks' libraries for matrix products use as many threads together as one process would."""
    from providers.engines.process.platform import blas_threads

    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(max(1, blas_threads() // ranks)))


def _free_ports(count: int) -> range:
    """Ports in a row that are free on this machine."""
    for attempt in range(100):
        first = _FIRST_PORT + (os.getpid() * 17 + attempt * count) % _PORTS
        ports = range(first, first + count)
        if all(map(_is_free, ports)):
            return ports
    raise SystemExit("there are no free ports for the ranks")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    main(sys.argv[1:])
