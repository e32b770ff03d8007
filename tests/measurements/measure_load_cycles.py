"""Check that an unloaded model leaves nothing: `python -m tests.measurements.measure_load_cycles [CYCLES [MODEL]]`.

Loads a model, lets it answer, and unloads it, 20 times or `CYCLES` times, beside an echo model that keeps the server
ready. MODEL is a path or an id; without it, the embedded chat model. After each load and each unload the memory,
descriptors, threads and processes of the whole process tree are read. Exit status 1 if the last cycle left over 3 %
more memory than the second one: the first one imports what later ones share.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from tests.live.client import chat
from tests.live.harness import LiveServer, start
from tests.soak.resources import Held, held_by

BOUND = 0.03
PATIENCE = 600.0
"""Seconds that a load or an answer may take."""
SETTLED, READ_EVERY = 0.005, 0.5
"""Memory counts as settled when two readings, this number of seconds apart, differ by less than this share."""
NAME = "model"
HEAD = f"{'cycle':>5}{'loaded':>12}{'unloaded':>12}{'change':>9}{'descriptors':>13}{'threads':>9}{'processes':>11}"


def settled(server: LiveServer) -> Held:
    """What the process tree holds, once its memory has stopped to change."""
    last = held(server)
    while True:
        time.sleep(READ_EVERY)
        now = held(server)
        if abs(now.memory - last.memory) <= SETTLED * last.memory and now.processes == last.processes:
            return now
        last = now


def held(server: LiveServer) -> Held:
    return held_by([psutil.Process(server.process.pid), *server.descendants()], server.worker(), 0.0)


def cycle(server: LiveServer, client: httpx.Client) -> tuple[Held, Held]:
    """Load, answer, unload. Returns what the process tree holds while the model is loaded, and afterwards."""
    client.post(f"/v1/models/{NAME}/load").raise_for_status()
    body = chat("What is the capital of France?", max_tokens=8) | {"model": NAME}
    client.post("/v1/chat/completions", json=body).raise_for_status()
    loaded = settled(server)
    client.post(f"/v1/models/{NAME}/unload").raise_for_status()
    return loaded, settled(server)


def measure(server: LiveServer, cycles: int) -> float:
    """Print a line per cycle. Returns the share by which memory grew from the second one to the last one."""
    print(f"{HEAD}   memory in MB", flush=True)
    after = list[Held]()
    with httpx.Client(base_url=server.url, timeout=PATIENCE, trust_env=False) as client:
        for number in range(1, cycles + 1):
            loaded, unloaded = cycle(server, client)
            after.append(unloaded)
            change = unloaded.memory / after[min(1, len(after) - 1)].memory - 1
            memory = f"{loaded.memory / 1e6:>12.1f}{unloaded.memory / 1e6:>12.1f}{change:>+9.1%}"
            rest = f"{unloaded.descriptors:>13}{unloaded.threads:>9}{unloaded.processes:>11}"
            print(f"{number:>5}{memory}{rest}", flush=True)
    return after[-1].memory / after[min(1, len(after) - 1)].memory - 1


def main() -> int:
    cycles = int(sys.argv[1]) if sys.argv[1:] else 20
    model: dict[str, Any] = {"model_path": sys.argv[2]} if sys.argv[2:] else {"model_type": "lm"}
    models = [{"model_type": "echo"}, {**model, "served_model_name": NAME, "on_demand": True}]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.yaml")
        config.write_text(yaml.safe_dump({"log_level": "warning", "models": models}), encoding="utf-8")
        server = start("--config", str(config))
        try:
            growth = measure(server, cycles)
        finally:
            server.stop()
    print(f"{growth:+.1%} after {cycles} cycles; the bound is {BOUND:.0%}")
    return int(growth > BOUND)


if __name__ == "__main__":
    sys.exit(main())
