"""Create or update `.venv` from a lock: `python3 requirements/install.py runtime|dev|mutation`. Standard library only.

It does nothing if the lock, pyproject.toml, the interpreter and the folder are unchanged since the last success.
pip fetches, so the machine's own index, mirror and proxy settings apply; hashes come from the lock.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
COMMAND = VENV / "bin" / "mlx-openai-server"
MINIMUM = (3, 11)


CONTAINED_IN = {"runtime": ("runtime", "dev"), "dev": ("dev",), "mutation": ("mutation",)}
"""Locks, any of which installs all of a lock at the same versions."""


def main(kind: str) -> None:
    if kind == "mutation":
        main("dev")  # which it extends
    wanted = fingerprint(kind)
    for installed in CONTAINED_IN[kind]:
        if COMMAND.exists() and stamp(installed) == fingerprint(installed) and runs(PYTHON):
            return
    started = time.monotonic()
    if not runs(PYTHON):
        create()
    install_locked(ROOT / "requirements" / f"{kind}.txt")
    if kind != "mutation":
        say("installing the project itself")
        pip("--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    stamp_path(kind).write_text(wanted)
    say(f"ready in {time.monotonic() - started:.0f} s: {COMMAND.relative_to(ROOT)}")


def fingerprint(kind: str) -> str:
    """Digest of the inputs of an installation; it changes when the installed environment is outdated."""
    parts = [(ROOT / "requirements" / f"{kind}.txt").read_bytes(), (ROOT / "pyproject.toml").read_bytes()]
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()
    # Scripts in the environment contain its absolute path: a moved clone needs a new environment.
    return json.dumps({"inputs": digest, "folder": str(ROOT)})


def stamp_path(kind: str) -> Path:
    return VENV / f".setup-{kind}"


def stamp(kind: str) -> str | None:
    try:
        return stamp_path(kind).read_text()
    except OSError:
        return None


def runs(python: Path) -> bool:
    """True if this interpreter starts, is new enough, and has pip."""
    check = f"import pip, sys; sys.exit(sys.version_info < {MINIMUM})"
    try:
        return subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def create() -> None:
    say(f"creating {VENV.name} with Python {sys.version.split()[0]}")
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], capture_output=True, text=True, check=False)
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        hint = "On Debian and Ubuntu: apt install python3-venv." if "ensurepip" in made.stdout + made.stderr else ""
        fail(f"{sys.executable} -m venv failed. {hint}\n{made.stdout}{made.stderr}")


def install_locked(lock: Path) -> None:
    names = re.findall(r"^([A-Za-z0-9._-]+)==", lock.read_text(), re.MULTILINE)
    say(f"fetching up to {len(set(names))} packages")
    pip("--require-hashes", "--no-deps", "--no-compile", "--requirement", str(lock), expected=len(set(names)))


def pip(*arguments: str, expected: int = 0) -> None:
    """Run `pip install` and show its output as one line of progress; on failure show its last lines."""
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off", *arguments]
    lines: list[str] = []
    seen = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            name = re.match(r"(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+)", line)
            if name and expected:
                seen += 1
                progress(f"[{seen:3}/{expected}] {name[1]}", every=20, count=seen)
            elif line.startswith("Installing collected packages"):
                progress(f"unpacking {line.count(',') + 1} packages", every=1, count=1)
    clear()
    if process.returncode:
        fail("pip could not install:\n" + "".join(lines[-40:]))


def progress(text: str, *, every: int, count: int) -> None:
    """Overwrite one line on a terminal; elsewhere print every `every`-th line."""
    if sys.stdout.isatty():
        print(f"\r\033[K  {text}", end="", flush=True)
    elif count % every == 0:
        print(f"  {text}", flush=True)


def clear() -> None:
    if sys.stdout.isatty():
        print("\r\033[K", end="", flush=True)


def say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def fail(text: str) -> None:
    clear()
    sys.exit(f"setup: {text}")


if __name__ == "__main__":
    if sys.version_info < MINIMUM:
        fail(f"Python {'.'.join(map(str, MINIMUM))} or newer is needed; this is {sys.version.split()[0]}")
    if len(sys.argv) != 2 or sys.argv[1] not in CONTAINED_IN:
        fail(f"usage: python3 requirements/install.py {'|'.join(CONTAINED_IN)}")
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        fail("interrupted; run the command again to continue")
