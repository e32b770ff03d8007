"""The folder of a server's temporary files: who uses it, and when it goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from server.run.scratch import PREFIX, temporary_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder of temporary files, for this test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("TMPDIR", raising=False)
    return tmp_path


def test_other_processes_put_their_temporary_files_there_and_the_end_deletes_them(temporary: Path) -> None:
    program = "import tempfile; print(tempfile.mkstemp()[1])"
    with temporary_folder() as folder:
        made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        assert Path(made).parent == folder
        assert folder.parent == temporary
        assert folder.stat().st_mode & 0o777 == 0o700
    assert [*temporary.iterdir()] == []
    assert "TMPDIR" not in os.environ


def test_the_variable_that_was_set_before_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    with temporary_folder() as folder:
        assert os.environ["TMPDIR"] == str(folder)
    assert os.environ["TMPDIR"] == "/elsewhere"


def test_an_exit_deletes_it_too(temporary: Path) -> None:
    def serve() -> None:
        with temporary_folder() as folder:
            (folder / "file").write_text("x")
            sys.exit(1)

    with pytest.raises(SystemExit):
        serve()
    assert [*temporary.iterdir()] == []


def test_the_folder_of_a_killed_server_is_deleted_by_the_next_and_that_of_a_running_one_stays(temporary: Path) -> None:
    program = (
        "import os, signal, sys, tempfile\n"
        f"tempfile.tempdir = {str(temporary)!r}\n"
        "from server.run.scratch import temporary_folder\n"
        "with temporary_folder() as folder:\n"
        "    (folder / 'file').touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with temporary_folder() as running:
        (running / "file").touch()
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
        (abandoned,) = set(temporary.iterdir()) - {running}
        (temporary / "another program's").mkdir()
        target = temporary / "target"
        target.mkdir()
        (temporary / f"{PREFIX}link").symlink_to(target)

        with temporary_folder():
            assert not abandoned.exists()
            assert (running / "file").exists()
            assert target.exists()
            assert (temporary / "another program's").exists()
