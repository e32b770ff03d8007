"""Mutation tests: `make mutate`, or `python -m tests.mutation [TARGET...]`.

mutmut changes one detail of a module at a time, and the unit tests named in `targets` have to fail. Each target has its
folder under build/mutation: a copy of the code with all mutants in it, the results, and `survivors.diff`.

mutmut mutates the bodies of functions without decorators. Constants, defaults and properties stay as they are.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.mutation.targets import TARGETS, Target

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "mutation"
MUTMUT = Path(sys.executable).with_name("mutmut")
ROOMS = ("contracts", "otel", "providers", "server")
MEMORY_BYTES = 16 * 2**30
"""Address space of each process: a mutant that allocates without end fails, and the machine goes on."""
DEAD = ("killed", "timeout", "segfault", "suspicious")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutate")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"default: all of {', '.join(TARGETS)}")
    parser.add_argument("--minutes", type=float, default=60, help="stop each target after this time (default: 60)")
    parser.add_argument("--survivors", action="store_true", help="test only what survived the last run")
    chosen = parser.parse_args()
    if unknown := set(chosen.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    names = chosen.targets or list(TARGETS)
    for name in names:
        print(f"== {name}", flush=True)
        run(name, TARGETS[name], seconds=chosen.minutes * 60, survivors=chosen.survivors)
    return summarize(names)


def run(name: str, target: Target, *, seconds: float, survivors: bool) -> None:
    folder = BUILD / name
    selected = [f"*__mutmut_*{digit}" for digit in target.sample] if len(target.sample) < 10 else []
    if survivors:
        selected = surviving(folder)
        if not selected:
            return
    else:
        shutil.rmtree(folder, ignore_errors=True)
        prepare(folder, target)
    process = subprocess.Popen(
        [MUTMUT, "run", "--max-children", "1", *selected],
        cwd=folder,
        env=environment(),
        preexec_fn=limit_memory,
        start_new_session=True,  # one group with the processes that it forks
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        print(f"\nstopped after {seconds:.0f} s; what is decided counts")
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
    (folder / "survivors.diff").write_text("\n".join(diff(folder, mutant) for mutant in surviving(folder)))


def prepare(folder: Path, target: Target) -> None:
    """Make the project as mutmut sees it: our folders, and our pyproject.toml with a table for mutmut."""
    folder.mkdir(parents=True)
    for room in (*ROOMS, "tests"):
        (folder / room).symlink_to(ROOT / room)
    table = f"""
[tool.mutmut]
source_paths = {list(ROOMS)}
only_mutate = {list(target.modules)}
pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "no:xdist"]
pytest_add_cli_args_test_selection = {list(target.tests)}
process_isolation = "forkserver"  # MLX's threads do not survive a fork
timeout_multiplier = 10.0
timeout_constant = 3.0
track_dependencies = false
use_git_change_detection = false
"""
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text() + table)


def environment() -> dict[str, str]:
    """The environment without a path to the unchanged code."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def limit_memory() -> None:
    with contextlib.suppress(ValueError, OSError):  # macOS may refuse
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def mutmut(folder: Path, *arguments: str) -> str:
    done = subprocess.run([MUTMUT, *arguments], cwd=folder, env=environment(), capture_output=True, text=True)
    return done.stdout


def results(folder: Path) -> dict[str, str]:
    """The status of every mutant, by its name."""
    lines = mutmut(folder, "results", "--all", "true").splitlines()
    return {name: status for name, status in (line.strip().split(": ", 1) for line in lines) if "mutmut_" in name}


def surviving(folder: Path) -> list[str]:
    return [name for name, status in results(folder).items() if status in ("survived", "no tests")]


def diff(folder: Path, mutant: str) -> str:
    return mutmut(folder, "show", mutant)


def summarize(names: list[str]) -> int:
    """Print a table with a row for each module, and return 1 if a target could not be tested."""
    print(f"\n{'module':48} {'mutants':>7} {'killed':>6} {'timeout':>7} {'survived':>8} {'untested':>8} {'dead':>6}")
    failed = False
    for name in names:
        modules: dict[str, Counter[str]] = {}
        for mutant, status in results(BUILD / name).items():
            module = re.split(r"\.x(?:_|ǁ)", mutant)[0]
            modules.setdefault(module, Counter())[status] += 1
        for module, counts in [*modules.items(), (name, sum(modules.values(), Counter()))]:
            tested = sum(count for status, count in counts.items() if status != "not checked")
            dead = sum(counts[status] for status in DEAD)
            failed |= not tested
            print(
                f"{module:48} {tested:7} {dead - counts['timeout']:6} {counts['timeout']:7} {counts['survived']:8}"
                f" {counts['no tests']:8} {dead / tested if tested else 0:6.1%}"
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
