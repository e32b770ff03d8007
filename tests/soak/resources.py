"""What the server's processes hold: memory, descriptors, threads, shared memory, temporary files."""

from __future__ import annotations

from pathlib import Path

import attrs
import psutil

__all__ = ["Held", "files_below", "held_by", "shared_names"]


@attrs.frozen(kw_only=True)
class Held:
    """The whole process tree at one time."""

    seconds: float
    memory: int
    """Bytes, pages that processes share divided among them (PSS); the resident sets where the system has no PSS."""
    worker: int
    """Bytes of the process that serves HTTP."""
    descriptors: int
    threads: int
    processes: int
    shared: int
    """Files of /dev/shm that a process has mapped."""


def held_by(family: list[psutil.Process], worker: psutil.Process, seconds: float) -> Held:
    """Read all processes. One that ends meanwhile does not count."""
    memory = descriptors = threads = processes = own = 0
    shared = set[str]()
    for process in family:
        try:
            with process.oneshot():
                size, open_files, running = _memory(process), process.num_fds(), process.num_threads()
                shared |= shared_names(process)
        except (psutil.Error, OSError):
            continue
        memory, descriptors, threads, processes = (
            memory + size,
            descriptors + open_files,
            threads + running,
            processes + 1,
        )
        own = size if process.pid == worker.pid else own
    return Held(
        seconds=round(seconds, 1), memory=memory, worker=own, descriptors=descriptors, threads=threads,
        processes=processes, shared=len(shared),
    )  # fmt: skip


def _memory(process: psutil.Process) -> int:
    rollup = Path(f"/proc/{process.pid}/smaps_rollup")
    if rollup.exists():
        lines = rollup.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return int(process.memory_info().rss)


def shared_names(process: psutil.Process) -> set[str]:
    """Names below /dev/shm, semaphores included, that a process has mapped."""
    maps = Path(f"/proc/{process.pid}/maps")
    if not maps.exists():
        return set()
    return {line.split(maxsplit=5)[5] for line in maps.read_text(encoding="utf-8").splitlines() if "/dev/shm/" in line}


def files_below(folder: Path) -> set[str]:
    """Every file and folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
