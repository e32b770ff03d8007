"""The results of a soak as the tables of docs/reliability.md: `python -m tests.soak.table FILE.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

__all__ = ["tables"]

ROWS = {"memory": 1e6, "worker": 1e6, "descriptors": 1, "threads": 1, "processes": 1, "shared": 1}
NAMES = {
    "memory": "memory of all processes, MB",
    "worker": "memory of the process that serves HTTP, MB",
    "shared": "mapped files of /dev/shm",
}


def tables(result: dict[str, Any]) -> str:
    """What was sent and what came back; what befell the server; what it held before and after."""
    lines = ["| sent | requests | came back |", "|---|---|---|"]
    for kind, counts in result["kinds"].items():
        came = ", ".join(f"{count:,} × {_ending(how)}" for how, count in counts.items())
        lines.append(f"| {kind} | {sum(counts.values()):,} | {came} |")
    lines += ["", "| trouble | times |", "|---|---|"]
    lines += [f"| {name} | {count} |" for name, count in sorted(result["troubles"].items())]
    lines += ["", "| | before | after |", "|---|---|---|"]
    for name, unit in ROWS.items():
        before, after = (f"{result[when][name] / unit:,.0f}" for when in ("before", "after"))
        lines.append(f"| {NAMES.get(name, name)} | {before} | {after} |")
    return "\n".join(lines)


def _ending(how: str) -> str:
    """A status and how the response ended: its code in `code` font."""
    status, _, rest = how.partition(" ")
    ended = {"answered": "", "refused": "", "cancelled": ", the client left", "unread": ", not read"}
    if rest in ended:
        return f"no response{ended[rest]}" if status == "closed" else f"{status}{ended[rest]}"
    return f"{status} `{rest}`" if status != "200" else f"200 with the event `{rest}`"


if __name__ == "__main__":
    print(tables(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
