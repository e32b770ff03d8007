"""A hostfile as MLX reads it: `python -P -m providers.engines.group.hostfile FILE` prints one JSON object.

Its `backend` is the one that MLX's launcher would choose where the file names none.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from providers.engines.process import platform

__all__ = ["main"]


def main() -> None:
    """Print the hosts, the backend and the environment variables.

    Raises:
        SystemExit: MLX cannot read the file; the message is MLX's.
    """
    from mlx._distributed_utils.common import Hostfile

    reader: Any = Hostfile
    try:
        content = reader.from_file(sys.argv[1]).to_json()
    except ValueError as error:
        raise SystemExit(str(error)) from None
    if not content["backend"]:
        content["backend"] = _default_backend()
    print(json.dumps(content))


def _default_backend() -> str:
    platform.prepare()
    import mlx.core as mx

    return "nccl" if mx.cuda.is_available() else "ring"


if __name__ == "__main__":
    main()
