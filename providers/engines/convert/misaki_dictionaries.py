"""From misaki's wheel to the dictionaries in `providers/engines/speech/text/dictionaries`. Run once per misaki version.

    pip download --no-deps --python-version 3.12 misaki==0.9.4
    python -m providers.engines.convert.misaki_dictionaries misaki-0.9.4-py3-none-any.whl

The entries are unchanged and in their order. Every Python has gzip. lzma, which packs a sixth smaller, is optional.
"""

from __future__ import annotations

import gzip
import json
import sys
import zipfile
from pathlib import Path

NAMES = ("us_gold", "us_silver", "gb_gold", "gb_silver")
FOLDER = Path(__file__).parents[1] / "speech" / "text" / "dictionaries"


def convert(wheel: Path, folder: Path) -> None:
    """Write each dictionary as gzipped JSON without spaces."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in NAMES:
            entries = json.loads(archive.read(f"misaki/data/{name}.json"))
            text = json.dumps(entries, ensure_ascii=False, separators=(",", ":"))
            (folder / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
        license_text = next(name for name in archive.namelist() if name.endswith("/LICENSE"))
        (folder / "LICENSE").write_bytes(archive.read(license_text))


if __name__ == "__main__":
    convert(Path(sys.argv[1]), FOLDER)
