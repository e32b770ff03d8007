"""An engine of several processes: a launcher, and a rank that connects to the socket whose path it gets."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from providers.engine_host import frames
from providers.engine_host.frames import Load, Loading, Report
from providers.engine_host.process import EngineProcess, start_of, starting
from providers.spec import ModelSpec
from tests.unit.providers.engine_host.clock import quiet
from tests.unit.providers.engine_host.processes import Process

TWO = ModelSpec(name="m", path="/m", tensor_parallel=2, hostfile="/hosts.json")


class Launcher(Process):
    """The process that EngineProcess starts."""

    path: Path
    """Its last argument."""
    environment: Mapping[str, str] | None


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> Launcher:
    process = Launcher()

    async def create(*command: str, **options: Any) -> Process:
        process.environment = options.pop("env")
        assert options == {"stdin": asyncio.subprocess.DEVNULL, "start_new_session": True}
        process.path = Path(command[-1])
        return process

    def to_group(group: int, number: int) -> None:
        assert group == process.pid
        process.send_signal(number)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", create)
    monkeypatch.setattr(os, "killpg", to_group)
    return process


async def test_what_is_sent_before_rank_0_connects_waits_for_it(launcher: Launcher) -> None:
    reports: list[Report] = []
    received = asyncio.Event()

    def take(report: Report) -> None:
        reports.append(report)
        received.set()

    engine = await EngineProcess.start_ranks(["launch"], take)
    assert engine.send(Load(TWO))
    path = launcher.path
    assert path.parent.stat().st_mode & 0o777 == 0o700

    reader, writer = await asyncio.open_unix_connection(str(path))
    header = await reader.readexactly(frames.HEADER_BYTES)
    assert frames.decode_command(await reader.readexactly(frames.frame_length(header))) == Load(TWO)
    assert not path.parent.exists()
    writer.write(frames.encode(Loading("weights")))
    await writer.drain()
    await asyncio.wait_for(received.wait(), 60)
    assert reports == [Loading("weights")]
    engine.kill()
    assert await reader.read() == b""
    writer.close()


async def test_signals_reach_every_rank(launcher: Launcher) -> None:
    engine = await EngineProcess.start_ranks(["launch"], lambda report: None)
    await engine.kill_hung()
    await quiet()
    assert launcher.signals[0][1] == frames.STACK_SIGNAL
    assert not launcher.path.parent.exists()


async def test_the_launcher_gets_the_environment_of_its_replica(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "warning")
    engine = await start_of(TWO, {"CUDA_VISIBLE_DEVICES": "2,3"})(["launch"], lambda report: None)
    engine.kill()
    assert launcher.environment is not None
    assert (launcher.environment["CUDA_VISIBLE_DEVICES"], launcher.environment["LOG_LEVEL"]) == ("2,3", "warning")


async def test_an_engine_that_never_connects_is_lost_with_its_process(launcher: Launcher) -> None:
    engine = await EngineProcess.start_ranks(["launch"], lambda report: None)
    launcher.exit(1)
    assert await engine.wait_lost() == "its process ended"
    await engine.end(1.0)
    assert not launcher.path.parent.exists()


def test_the_launcher_gets_the_ranks_the_hostfile_and_the_command() -> None:
    commands: list[Sequence[str]] = []

    async def start(command: Sequence[str], on_report: Callable[[Report], None]) -> Any:
        commands.append(command)

    for spec in (ModelSpec(name="m", path="/m"), TWO):
        asyncio.run(starting(spec, ("engine",), start)(lambda report: None))  # type: ignore[arg-type]
    assert commands[0] == ("engine",)
    assert commands[1] == (sys.executable, "-P", "-m", "providers.engines.group.launch", "2", "/hosts.json", "engine")
