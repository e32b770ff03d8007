"""The end of a soak: the server's own numbers, its return to rest, and the result."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import attrs

from tests.soak.ending import ENDING
from tests.soak.ledger import Ledger, request_lines
from tests.soak.resources import Held, files_below
from tests.soak.served import Served
from tests.soak.troubles import Troubles

__all__ = ["Result", "at_rest", "judged", "settled", "totals"]

REST_SECONDS = 15.0
"""Time in which connections close, threads end and restarted engines settle."""
MEMORY = 0.10
"""Share by which the memory of all processes may exceed the most that they held in the run's first half. The first
reading is no measure: the arrays that MLX keeps for reuse, and the prefix caches, fill only as long prompts come."""
WORKER = 40_000_000
"""Bytes by which the process that serves HTTP may grow: its allocator keeps what a burst of large bodies took."""
DESCRIPTORS, THREADS = 4, 8
"""By which the tree may have more than before: threads of pools that had not started all of theirs."""
KEPT = 1_000
"""Characters of the beginning, and of the end, of a line of the log in the result."""
MEASURED = re.compile(
    r'^http_server_request_duration_seconds_count\{.*http_route="(?!/traces|/metrics|/health|/v1/health).*\} (\d+)',
    re.MULTILINE,
)
"""Requests in `/metrics`, without the looks at the server's state, which the log has only at level debug."""


@attrs.define(kw_only=True)
class Result:
    """What a soak found."""

    seed: int
    before: Held
    """What the end was compared with: see `settled`."""
    after: Held
    readings: list[Held]
    ledger: Ledger
    troubles: Troubles
    problems: list[str]
    metrics: str
    log: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "requests": len(self.ledger.sent),
            "kinds": self.ledger.table(),
            "troubles": dict(self.troubles.done),
            "skipped": self.troubles.skipped,
            "before": attrs.asdict(self.before),
            "after": attrs.asdict(self.after),
            "problems": self.problems,
            "readings": [attrs.asdict(reading) for reading in self.readings],
        }

    def text(self) -> str:
        """The results as lines to read."""
        lines = [f"{len(self.ledger.sent)} requests, seed {self.seed}"]
        for kind, counts in self.ledger.table().items():
            lines.append(f"  {kind:<30} " + ", ".join(f"{count} × {how}" for how, count in counts.items()))
        lines += [f"  {name}: {count}" for name, count in sorted(self.troubles.done.items())]
        lines += [f"  skipped: {reason}" for reason in self.troubles.skipped]
        for name in ("memory", "worker", "descriptors", "threads", "processes", "shared"):
            lines.append(f"  {name:<12}{getattr(self.before, name):>14,} before {getattr(self.after, name):>14,} after")
        lines += [f"PROBLEM {problem}" for problem in self.problems[:50]]
        lines.append(f"{len(self.problems)} problems")
        return "\n".join(lines)


def settled(readings: list[Held]) -> Held:
    """What the end is compared with: the first reading, with the most memory of the readings in the first half of the
    time. A leak goes on in the second half; a pool that is filled does not."""
    first, middle = readings[0], (readings[0].seconds + readings[-1].seconds) / 2
    return attrs.evolve(first, memory=max(held.memory for held in readings if held.seconds <= middle))


async def at_rest(served: Served, before: Held, files: set[str]) -> tuple[Held, list[str]]:
    """Wait until the server holds no more than before. Returns what it holds, and what is too much."""
    end = time.monotonic() + REST_SECONDS
    while True:
        held = await asyncio.to_thread(served.held)
        problems = await _unrest(served, before, held, files)
        if not problems or time.monotonic() > end:
            return held, problems
        await asyncio.sleep(0.5)


async def _unrest(served: Served, before: Held, held: Held, files: set[str]) -> list[str]:
    bounds = {
        "memory": before.memory * (1 + MEMORY),
        "worker": before.worker + WORKER,
        "descriptors": before.descriptors + DESCRIPTORS,
        "threads": before.threads + THREADS,
        "processes": before.processes,
        "shared": before.shared,
    }
    found = [
        f"at rest: {name} {getattr(held, name):,}, {getattr(before, name):,} before"
        for name, bound in bounds.items()
        if getattr(held, name) > bound
    ]
    if new := files_below(served.temporary) - files:
        found.append(f"at rest: new temporary files {sorted(new)[:10]}")
    for name, model in (await served.models()).items():
        queue = model["queue"]
        if model["status"] != "ready" or queue["active"] or queue["pending"]:
            found.append(f"at rest: {name} is {model['status']} with {queue['active']} + {queue['pending']} requests")
    return found


async def totals(served: Served, ledger: Ledger, troubles: Troubles) -> tuple[list[str], str]:
    """The server's counters against ours, a last request to every model that chats, and then `/metrics`."""
    found = list[str]()
    models = await served.models()
    restarts = sum(model["engine"]["restarts"] for model in models.values() if model["engine"])
    lost = troubles.done["engine killed"] + troubles.done["engine stopped"]
    if restarts != lost:
        found.append(f"{restarts} engines were restarted, {lost} were lost")
    outcomes = ("completed", "failed", "cancelled", "rejected")
    counted = sum(model["queue"][name] for model in models.values() for name in outcomes)
    if not ledger.untraced and counted != ledger.queued:
        found.append(f"the queues counted {counted:g} requests, /traces has {ledger.queued}")
    for model in ("smollm2", "tiny", "echo"):
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
        answer = await served.client.post("/v1/chat/completions", json=body, headers={"x-request-id": "control"})
        if answer.status_code != 200:
            found.append(f"a last request to {model}: {answer.status_code} {answer.text}")
    page = (await served.client.get("/metrics", headers={"x-request-id": "control"})).text
    return found, page


def judged(result: Result, log: str, left: set[str]) -> Result:
    """The result with everything that the log shows. `left`: temporary files after the server's end."""
    lines, others, dropped = request_lines(log)
    lines = [line for line in lines if line["request_id"] != ENDING]  # later than `/metrics`
    result.log = log
    measured = sum(map(int, MEASURED.findall(result.metrics)))
    if measured != len(lines) and not dropped:
        result.problems.append(f"/metrics has {measured} requests, the log {len(lines)}")
    result.problems += result.ledger.problems(lines, dropped)
    result.problems += [f"temporary file after the end: {name}" for name in sorted(left)[:10]]
    for line in others:
        text = str(line)
        if "unforeseen" in text or ("Traceback" in text and "not stored" not in text):
            result.problems.append(f"in the log: {_shortened(text)}")
    hangs = sum("engine hangs and is killed" in str(line) for line in others)
    if hangs != result.troubles.done["engine stopped"]:
        result.problems.append(f"the watchdog ended {hangs} engines, {result.troubles.done['engine stopped']} hung")
    return result


def _shortened(line: str) -> str:
    """A line's beginning and its end: the error of a traceback is its last line."""
    return line if len(line) <= 2 * KEPT else f"{line[:KEPT]} … {line[-KEPT:]}"
