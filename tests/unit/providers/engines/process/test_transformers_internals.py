"""transformers reads its models once, and exports the same as when it reads them twice."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

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


def test_every_export_stays() -> None:
    assert _run(_EXPORTS.format(before=_ONCE)) == _run(_EXPORTS.format(before=""))


@pytest.mark.parametrize(("before", "times"), [(_ONCE, 1), ("import transformers", 2)])
def test_a_file_of_a_model_is_read_once(before: str, times: int) -> None:
    count = "print(json.dumps(sum('models/gpt2/modeling_gpt2.py' in each for each in read)))"

    assert _run(f"{_READS}\n{before}\nimport transformers.models\n{count}") == times
