"""`python -m providers.engines.convert.gguf SRC DST`: turn a GGUF file into an ordinary MLX model folder.

Prints progress as JSON lines, `{"stage": …, "fraction": …}`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from providers.engines.convert.folders import print_progress
from providers.engines.convert.gguf.conversion import convert
from providers.engines.convert.gguf.errors import GGUFError


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m providers.engines.convert.gguf", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("source", type=Path, help="a .gguf file")
    parser.add_argument("destination", type=Path, help="the model folder to write")
    parser.add_argument(
        "--generation", type=json.loads, default={}, help='JSON for generation_config.json, e.g. {"temperature": 0.2}'
    )
    options = parser.parse_args()
    try:
        convert(options.source, options.destination, print_progress, generation=options.generation)
    except (GGUFError, OSError) as error:
        print(f"{options.source}: {error}", file=sys.stderr)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
