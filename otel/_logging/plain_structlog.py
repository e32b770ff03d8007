"""structlog without rich, which it imports if it can, for tracebacks that no format here uses.

Gain: 40 of 100 ms in each process that has no use of rich itself, else 15.
Delete when: structlog imports rich where it is used.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["structlog"]

_modules: dict[str, Any] = sys.modules
_rich = _modules.get("rich")
_modules["rich"] = None  # an import of it fails
try:
    import structlog
finally:
    if _rich is None:
        del _modules["rich"]
    else:
        _modules["rich"] = _rich
