"""The folder of a library that was given none."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from server.retrieval.library import Library


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


async def test_a_temporary_folder_goes_when_the_library_closes(temporary: Path) -> None:
    library = Library(None)
    assert (await library.folder()).parent.parent == temporary
    await library.close()
    assert os.listdir(temporary) == []


def test_a_temporary_folder_goes_with_a_process_that_closes_nothing(tmp_path: Path) -> None:
    program = (
        "import asyncio, tempfile\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "from server.retrieval.library import Library\n"
        "library = Library(None)\n"
        "print(asyncio.run(library.folder()))\n"
    )
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert Path(made.strip()).parent.parent == tmp_path
    assert os.listdir(tmp_path) == []
