"""The one module that touches a name private to transformers: the scan of its models.

transformers: `import transformers` reads the 1,600 files of its models to find what each exports, and the import of
`transformers.models`, which every tokenizer needs, reads them again: the result is kept under another spelling of the
same path.
Here: the second spelling gets the result of the first.
Gain: 0.25 s of an engine's 1.0 s of imports.
Delete when: transformers finds its own result.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

__all__ = ["scan_models_once"]

logger = logging.getLogger(__name__)


def scan_models_once() -> None:
    """Import transformers, and let it scan its models once. Call it before anything else imports transformers."""
    try:
        import transformers
        from transformers.utils import import_utils

        internals: Any = import_utils
        scan: Any = internals.create_import_structure_from_path
        models = Path(transformers.__path__[0]) / "models"
    except (ImportError, AttributeError, IndexError):
        logger.debug("transformers scans its models twice", exc_info=True)
        return
    package = str(models / "__init__.py")

    def scan_once(path: str | Path) -> Any:
        return scan(models if str(path) == package else path)

    internals.create_import_structure_from_path = scan_once
