"""Servers of the suite end with it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil

from server.cli.bench.servers import free_port


def test_a_suite_that_is_terminated_ends_its_server(tmp_path: Path) -> None:
    port = free_port()
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from server.cli.bench.servers import running\n"
        f"command = [sys.executable, '-m', 'http.server', '{port}', '--bind', '127.0.0.1']\n"
        f"with running(command, ready_url='http://127.0.0.1:{port}/', log=Path(sys.argv[1])) as server:\n"
        "    print(server.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    suite = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert suite.stdout is not None
    server = psutil.Process(int(suite.stdout.readline()))

    suite.send_signal(signal.SIGTERM)

    assert suite.wait(30) == 128 + signal.SIGTERM
    suite.stdout.close()
    assert not server.is_running()
