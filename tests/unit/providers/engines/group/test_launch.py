"""MLX's launcher has the names that ours replaces, and gets what it understands."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from mlx._distributed_utils import launch as mlx_launch

from providers.engines.group import launch
from providers.engines.group.address import HOST_VARIABLE


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns the arguments that MLX's launcher would get."""
    found: list[list[str]] = []
    for name in ("select", "Hostfile", "RemoteProcess", "main"):
        monkeypatch.setattr(mlx_launch, name, getattr(mlx_launch, name))
    monkeypatch.setattr(mlx_launch.Hostfile, "from_file", mlx_launch.Hostfile.from_file)  # type: ignore[attr-defined]
    make_script = mlx_launch.RemoteProcess.make_launch_script  # type: ignore[attr-defined]
    monkeypatch.setattr(mlx_launch.RemoteProcess, "make_launch_script", staticmethod(make_script))  # type: ignore[attr-defined]
    monkeypatch.setattr(mlx_launch, "main", lambda: found.append(launch.sys.argv))
    monkeypatch.setattr(launch.signal, "signal", lambda *_: None)
    monkeypatch.setattr(launch, "die_with_parent", lambda: None)
    monkeypatch.setattr(launch.os, "dup2", lambda *_: None)
    monkeypatch.setattr(launch.sys, "argv", [])
    monkeypatch.setenv(HOST_VARIABLE, "")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)

    def run(*arguments: str) -> list[str]:
        launch.main(arguments)
        return found[-1]

    return run


def test_without_a_hostfile_all_ranks_run_here_and_share_the_cores(launched: Any) -> None:
    arguments = launched("2", "", "engine", "path")
    assert arguments[1:5] == ["--hosts", "127.0.0.1", "--repeat-hosts", "2"]
    assert arguments[-3:] == ["--", "engine", "path"]
    assert os.environ[HOST_VARIABLE] == "127.0.0.1"
    assert int(os.environ["OPENBLAS_NUM_THREADS"]) >= 1
    del os.environ["OPENBLAS_NUM_THREADS"]


def test_the_first_host_of_a_hostfile_is_this_machine(launched: Any, tmp_path: Path) -> None:
    hosts = [{"ssh": "a", "ips": ["10.0.0.1", "10.0.1.1"]}, {"ssh": "b", "ips": ["10.0.0.2", "10.0.1.2"]}]
    (file := tmp_path / "hosts.json").write_text(json.dumps({"backend": "ring", "hosts": hosts}))
    arguments = launched("2", str(file), "engine", "path")

    assert arguments[1:3] == ["--hostfile", str(file)]
    assert os.environ[HOST_VARIABLE] == "10.0.0.1"
    read: Any = mlx_launch.Hostfile.from_file(str(file))  # type: ignore[attr-defined]
    assert [host.ssh_hostname for host in read.hosts] == ["127.0.0.1", "b"]


def test_the_ranks_of_a_host_take_its_gpus_in_turn(launched: Any, tmp_path: Path) -> None:
    hosts = [{"ssh": name, "ips": ["10.0.0.1"]} for name in ("a", "a", "b", "b")]
    (file := tmp_path / "hosts.json").write_text(json.dumps({"backend": "nccl", "hosts": hosts}))
    arguments = launched("4", str(file), "engine", "path")

    # MLX's launcher gives rank N the GPU of that number, modulo this option.
    assert arguments[arguments.index("--repeat-hosts") + 1] == "2"
    read: Any = mlx_launch.Hostfile.from_file(str(file))  # type: ignore[attr-defined]
    assert [host.ssh_hostname for host in read.hosts] == ["127.0.0.1", "127.0.0.1", "b", "b"]


def script(device: str, *, is_local: bool = True) -> str:
    """MLX's script for a rank, which begins with its environment."""
    make: Any = mlx_launch.RemoteProcess.make_launch_script  # type: ignore[attr-defined]
    return str(make(0, None, None, {}, ["NCCL_DEBUG=INFO", f"CUDA_VISIBLE_DEVICES={device}"], ["engine"], is_local))


def test_a_rank_has_a_gpu_of_those_that_the_launcher_sees(launched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    launched("2", "", "engine", "path")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6, GPU-8932f937")

    assert "export CUDA_VISIBLE_DEVICES=6; " in script("0")
    assert "export CUDA_VISIBLE_DEVICES=GPU-8932f937; " in script("1")
    assert "export CUDA_VISIBLE_DEVICES=1; " in script("1", is_local=False)
    with pytest.raises(SystemExit, match="CUDA_VISIBLE_DEVICES leaves 2 GPUs to ranks that need one each"):
        script("2")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert "export CUDA_VISIBLE_DEVICES=1; " in script("1")


def test_mlx_s_launcher_waits_for_output_only(launched: Any) -> None:
    launched("2", "", "engine", "path")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert mlx_launch.select([ours], [ours], [], 0.0) == ([], [], [])
        theirs.send(b".")
        assert mlx_launch.select([ours], [ours], [], 1.0)[0] == [ours]


def test_ports_are_free_and_in_a_row() -> None:
    ports = launch._free_ports(5)
    assert len(ports) == 5
    for port in ports:
        with socket.socket() as probe:
            probe.bind(("", port))
