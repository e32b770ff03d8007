"""The one module that touches names private to transformers: the scan of its models.

transformers: `import transformers` reads the 1,600 files of its models to find what each exports, and the import of
`transformers.models`, which every tokenizer needs, reads them again: the result is kept under another spelling of the
same path.
Here: the second spelling gets the result of the first, and the first comes from a file in the cache folder, as long as
no file of a model and not the scan itself has changed.
Gain: 0.25 s of an engine's 1.0 s of imports for the second scan, and as much for the first.
Delete when: transformers keeps its own result.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from providers.folders import cache_folder, private_folder

__all__ = ["scan_models_once"]

logger = logging.getLogger(__name__)

_MODULE = "transformers.utils.import_utils"
_FORM = 1
"""Of the kept file. Another number makes older files useless."""

Scan = Callable[[str | Path], Any]


def scan_models_once() -> None:
    """Import transformers, and let it scan its models at most once. Call it before anything else imports it."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        import transformers  # noqa: F401
    except ImportError:
        logger.debug("transformers is not there", exc_info=True)
    finally:
        sys.meta_path.remove(finder)


class _Finder:
    """Finds the module that scans, and replaces its scan as soon as it is loaded: the import of the package scans."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name == _MODULE else None
        if spec is None or spec.loader is None or spec.origin is None:
            return None
        load = spec.loader.exec_module

        def load_and_replace(module: Any) -> None:
            load(module)
            with contextlib.suppress(AttributeError):  # then transformers scans as it does
                module.create_import_structure_from_path = _once(
                    module.create_import_structure_from_path, Path(module.__file__)
                )

        spec.loader.exec_module = load_and_replace  # type: ignore[method-assign]
        return spec


def _once(scan: Scan, program: Path) -> Scan:
    """`scan`, but of the folder of models once, and only if nothing is kept. `program`: the file that scans."""
    models = program.parents[1] / "models"
    spellings = (str(models), str(models / "__init__.py"))
    found: list[Any] = []

    def scan_once(path: str | Path) -> Any:
        if str(path) not in spellings:
            return scan(path)
        if not found:
            found.append(_kept_or(lambda: scan(models), models, program))
        return found[0]

    return scan_once


def _kept_or(scan: Callable[[], Any], models: Path, program: Path) -> Any:
    """The result of an earlier scan of the same files, or that of this one, which is kept."""
    try:
        state = _state(models, program)
        file = cache_folder() / "transformers-models.json"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            kept = json.loads(file.read_bytes())
            if kept["state"] == state:
                return _from_json(kept["result"])
    except OSError:
        return scan()
    result = scan()
    with contextlib.suppress(OSError, TypeError):
        _keep(file, json.dumps({"state": state, "result": _to_json(result)}))
    return result


def _state(models: Path, program: Path) -> str:
    """A digest of the names, sizes and times of all files that decide the result."""
    digest = hashlib.sha256(f"{_FORM} {program}".encode())
    for name, stat in ((str(program), program.stat()), *_files(str(models))):
        digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            if entry.is_dir():
                yield from () if entry.name == "__pycache__" else _files(entry.path)
            elif entry.name.endswith(".py"):
                yield entry.path, entry.stat()


def _keep(file: Path, text: str) -> None:
    private_folder(file.parent)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".transformers-") as folder:
        new = Path(folder) / file.name
        new.write_text(text, encoding="utf-8")
        new.replace(file)


def _to_json(result: Any) -> Any:
    """Pairs instead of items: a key is a name, or the set of packages that the names need. Names are in sets."""
    if isinstance(result, dict):
        return {"pairs": [[_to_json(key), _to_json(value)] for key, value in result.items()]}
    if isinstance(result, frozenset):
        return {"packages": sorted(result)}
    return {"names": sorted(result)} if isinstance(result, set) else str(result)


def _from_json(kept: Any) -> Any:
    if isinstance(kept, str):
        return kept
    if "pairs" in kept:
        return {_from_json(key): _from_json(value) for key, value in kept["pairs"]}
    return frozenset(kept["packages"]) if "packages" in kept else set(kept["names"])
