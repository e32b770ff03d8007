"""transformers reads its models at most once, and exports the same as when it reads them twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from providers.engines.process.transformers_internals import _state

_EXPORTS = """
import json, sys
{before}
import transformers.models
names = sys.modules["transformers.models"]._class_to_module
from transformers import AutoTokenizer, LlamaConfig
print(json.dumps({{name: str(module) for name, module in names.items()}}))
"""
_READS = """
import builtins, json
read = []
opened = builtins.open
def counting(file, *rest, **named):
    read.append(str(file))
    return opened(file, *rest, **named)
builtins.open = counting
"""
_ONCE = "from providers.engines.process.transformers_internals import scan_models_once; scan_models_once()"


def _run(code: str) -> Any:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the result, which no test finds at first."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "mlx-openai-server" / "transformers-models.json"


def _times_read(before: str) -> Any:
    count = "print(json.dumps(sum('models/gpt2/modeling_gpt2.py' in each for each in read)))"
    return _run(f"{_READS}\n{before}\nimport transformers.models\n{count}")


def test_every_export_stays(kept: Path) -> None:
    exports = _run(_EXPORTS.format(before=""))

    assert _run(_EXPORTS.format(before=_ONCE)) == exports
    assert kept.is_file()
    assert _run(_EXPORTS.format(before=_ONCE)) == exports


def test_a_file_of_a_model_is_read_by_the_first_start_only() -> None:
    assert [_times_read(before) for before in ("import transformers", _ONCE, _ONCE)] == [2, 1, 0]


@pytest.mark.parametrize("content", ["", "[]", "null", '{"state": "of other files", "result": {"pairs": []}}'])
def test_a_file_that_is_broken_or_of_other_files_is_written_again(kept: Path, content: str) -> None:
    kept.parent.mkdir()
    kept.write_text(content)

    assert [_times_read(_ONCE), _times_read(_ONCE)] == [1, 0]


def test_where_nothing_can_be_kept_models_are_read_once(kept: Path) -> None:
    kept.parent.write_text("a file, and no folder")

    assert [_times_read(_ONCE), _times_read(_ONCE)] == [1, 1]


def test_the_state_of_the_files_changes_with_each_of_them(tmp_path: Path) -> None:
    program, model = tmp_path / "utils" / "import_utils.py", tmp_path / "models" / "gpt2" / "modeling_gpt2.py"
    for file in (program, model):
        file.parent.mkdir(parents=True)
        file.write_text("one")
    states = {_state(tmp_path / "models", program)}
    for file in (program, model, model.with_name("new.py")):
        file.write_text("another")
        states.add(_state(tmp_path / "models", program))
    model.with_name("notes.txt").write_text("no module")

    assert len(states) == 4
    assert _state(tmp_path / "models", program) in states
