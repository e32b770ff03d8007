"""Resolve what users install for every platform and Python that README names: `make resolve`. Needs the network.

Prints a table: `ok` with the number of packages, and `built: …` with those built from source, for lack of a wheel.
Exits with 1 if something cannot be installed. uv answers for other machines: nothing is installed, and nothing runs.

First the extras by an ordinary resolver, as plain pip works; then the packages of each lock.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = str(Path(sys.executable).with_name("uv"))
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {
    # what MLX's wheels need: glibc 2.35, macOS 14
    "Linux x86_64": ("x86_64-manylinux_2_35", ("cpu,all", "cuda,all")),
    "Linux arm64": ("aarch64-manylinux_2_35", ("cpu,all", "cuda,all")),
    "macOS arm64": ("aarch64-apple-darwin", ("all", "all,images")),
}
LOCKS = ("runtime", "images", "dev")
UNWANTED = ("torch", "tensorflow", "jax")
"""Gigabytes that nothing here imports."""
REQUIRES_TORCH = "images"
"""The extra whose mflux requires torch. On Linux mflux requires an MLX for GPUs too: its lock has neither."""
NO_WHEEL = re.compile(r"Because (?:only )?([a-z0-9._-]+)(?:\[\w+\])?==\S+ has no (?:usable )?wheels?")


def main() -> int:
    failed = False
    print(f"{'platform':13} {'Python':7} {'what':16} result")
    for platform, (triple, extras) in PLATFORMS.items():
        for python in PYTHONS:
            where = ["--python-platform", triple, "--python-version", python]
            for each in extras:
                failed |= report(platform, python, f".[{each}]", *resolve(each, where))
            for lock in LOCKS:
                failed |= report(platform, python, f"{lock}.txt", *check_lock(lock, where))
    return int(failed)


def report(platform: str, python: str, what: str, ok: bool, text: str) -> bool:
    print(f"{platform:13} {python:7} {what:16} {'ok, ' if ok else 'FAILED: '}{text}", flush=True)
    return not ok


def resolve(extras: str, where: list[str]) -> tuple[bool, str]:
    chosen = [argument for extra in extras.split(",") for argument in ("--extra", extra)]
    compile_ = ["pip", "compile", "--quiet", "--no-header", "--no-annotate", *where, *chosen, "pyproject.toml"]
    output, built, error = with_sources_where_needed(compile_)
    if error:
        return False, error
    names = re.findall(r"^([A-Za-z0-9._-]+)==", output, re.MULTILINE)
    accepted = {"torch"} if REQUIRES_TORCH in extras.split(",") else set()
    unwanted = sorted(set(names) & set(UNWANTED) - accepted)
    return not unwanted, summary(len(names), built) + (f"; unwanted: {', '.join(unwanted)}" if unwanted else "")


def check_lock(lock: str, where: list[str]) -> tuple[bool, str]:
    with tempfile.TemporaryDirectory() as target:
        install = ["pip", "install", "--dry-run", "--target", target, *where, "--no-deps", "--require-hashes"]
        output, built, error = with_sources_where_needed([*install, "--requirements", f"requirements/{lock}.txt"])
    count = re.search(r"Would install (\d+) packages", output)
    return (False, error) if error else (True, summary(int(count[1]) if count else 0, built))


def with_sources_where_needed(command: list[str]) -> tuple[str, list[str], str]:
    """What uv prints, the packages that it has no wheel of, and why it failed."""
    built: list[str] = []
    while True:
        sources = [argument for name in built for argument in ("--no-binary", name)]
        done = uv([*command, "--only-binary", ":all:", *sources])
        if not done.returncode:
            return done.stdout + done.stderr, built, ""
        lacking = NO_WHEEL.search(" ".join(done.stderr.split()))
        if lacking is None or lacking[1] in built:
            return "", built, " ".join(done.stderr.split())
        built.append(lacking[1])


def uv(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0", "UV_PYTHON_DOWNLOADS": "never"}
    return subprocess.run([UV, *arguments], capture_output=True, text=True, check=False, cwd=ROOT, env=environment)


def summary(count: int, built: list[str]) -> str:
    return f"{count} packages" + (f"; built: {', '.join(sorted(built))}" if built else "")


if __name__ == "__main__":
    sys.exit(main())
