"""The peers of `bench suite`."""

from __future__ import annotations

import subprocess
import sys

from server.cli.bench.suite.processes import PREPARE


def test_the_code_that_prepares_a_peer_for_mlx_runs() -> None:
    subprocess.run([sys.executable, "-c", PREPARE], check=True, timeout=60)
