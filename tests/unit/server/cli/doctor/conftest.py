"""Hostfiles, and a stand-in for ssh."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SSH = """#!/bin/sh
for last; do :; done
before=; name=
for argument; do
    [ "$argument" = "$last" ] && name=$before
    before=$argument
done
echo "$@" >> "$(dirname "$0")/calls"
case $name in
    there) exec sh -c "$last" ;;
    nowhere) echo "ssh: Could not resolve hostname nowhere: Name or service not known" >&2; exit 255 ;;
    locked) echo "someone@locked: Permission denied (publickey,password)." >&2; exit 255 ;;
    off) echo "ssh: connect to host off port 22: Connection refused" >&2; exit 255 ;;
    odd) echo "ssh: a message of its own" >&2; exit 255 ;;
    bare) echo "sh: 1: python: not found" >&2; exit 127 ;;
    chatty) echo "Welcome!" ;;
    old) echo '{"Python": "3.9.1", "mlx": "0.1.0", "mlx-lm": null, "mlx-openai-server-lab": "0.0.1"}' ;;
esac
"""


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `ssh` whose hosts are the names above. Returns the file that lists its calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "ssh"
    program.write_text(SSH)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder / "calls"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a hostfile of these hosts: (ssh, ips)."""

    def write(*hosts: tuple[Any, Any], **further: Any) -> Path:
        file = tmp_path / "hosts.json"
        entries = [{"ssh": name, "ips": ips} for name, ips in hosts]
        file.write_text(json.dumps({"hosts": entries, **further}))
        return file

    return write
