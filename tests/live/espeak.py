"""espeak-ng of this machine, or installed by its package manager."""

from __future__ import annotations

import os
import shutil
import subprocess

__all__ = ["INSTALL_SECONDS", "find_espeak"]

INSTALL_SECONDS = 240.0


def find_espeak() -> str | None:
    """Path of this machine's espeak-ng, or of one that its package manager installs, where that is allowed."""
    if found := shutil.which("espeak-ng"):
        return found
    if os.environ.get("CI") and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        install = "apt-get update -qq && apt-get install -y -qq --no-install-recommends espeak-ng"
        try:
            subprocess.run(["sh", "-c", install], timeout=INSTALL_SECONDS, capture_output=True, check=True)
        except (subprocess.SubprocessError, OSError):
            return None
        return shutil.which("espeak-ng")
    return None
