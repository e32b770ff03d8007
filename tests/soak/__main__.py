"""Soak of a real server: `python -m tests.soak [--minutes 3] [--requests N] [--kills N] [--hangs N] [--seed N]`.

Sends a random mix of good and bad requests to three engines and the echo, while engines die and hang, the disk is full
and the log is not read. Every request has to be answered exactly once, as docs/reliability.md promises; the server's
log, `/traces`, `/metrics` and the queues' counters have to agree; and afterwards the processes have to hold what they
held before. Exit status 1 and a list of problems where that is not so. `--json` and `--plot` write the results.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import attrs
import httpx

from tests.soak.ending import ended
from tests.soak.judge import Result, at_rest, judged, settled, totals
from tests.soak.ledger import Ledger
from tests.soak.mix import Mix
from tests.soak.plot import plot
from tests.soak.resources import files_below
from tests.soak.served import Served, serving
from tests.soak.troubles import Troubles

END_SECONDS = 40.0
"""Of the time: for the last trouble, the return to rest and the server's end."""
TROUBLE_SECONDS = 14.0
"""For each kill, hang and other trouble, where their number is not given."""


async def soaked(options: argparse.Namespace, served: Served, begun: float) -> Result:
    """Warm up, run the mix, and judge it."""
    rng = random.Random(options.seed)
    ledger = Ledger()
    troubles = Troubles(served, ledger, rng)
    deadline = begun + options.minutes * 60 - END_SECONDS
    mix = Mix(served, ledger, troubles, options.seed, options.requests, deadline)
    fit = int((deadline - time.monotonic()) / TROUBLE_SECONDS)
    kills = max(1, fit // 2) if options.kills is None else options.kills
    hangs = max(1, fit // 5) if options.hangs is None else options.hangs
    others = max(1, fit // 10) if options.others is None else options.others
    await mix.warm_up()
    await mix.read()
    files = files_below(served.temporary)
    await mix.run(await troubles.plan(kills, hangs, others))
    before = settled(mix.readings)
    after, unrest = await at_rest(served, before, files)
    await mix.traces()
    mix.readings.append(after)
    counted, metrics = await totals(served, ledger, troubles)
    return Result(
        seed=options.seed, before=before, after=after, readings=mix.readings, ledger=ledger, troubles=troubles,
        problems=[*troubles.problems, *unrest, *counted], metrics=metrics,
    )  # fmt: skip


def run(options: argparse.Namespace) -> Result:
    begun = time.monotonic()
    with serving() as (server, temporary):

        async def inside() -> Result:
            async with httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as client:
                served = Served(server, client, begun, temporary)
                result = await soaked(options, served, begun)
            result.problems += await ended(server, served.port)
            return result

        result = asyncio.run(inside())
        server.log.wait_for_end(5)
        return judged(result, server.log.text, files_below(temporary))


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=3, help="time for everything, the start included")
    parser.add_argument("--requests", type=int, help="stop after this number; else when the time is over")
    parser.add_argument("--kills", type=int, help="engines to kill; else as many as the time allows")
    parser.add_argument("--hangs", type=int, help="engines to stop; else as many as the time allows")
    parser.add_argument("--others", type=int, help="of each other trouble; else as many as the time allows")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="else a random one")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--plot", type=Path, help="file for the plot of memory and descriptors (SVG)")
    parser.add_argument("--log", type=Path, help="file for the server's log")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = options_of(arguments)
    print(f"soak with --seed {options.seed} for {options.minutes:g} min", flush=True)
    result = run(options)
    if options.json:
        options.json.write_text(json.dumps(result.as_json(), indent=1) + "\n", encoding="utf-8")
    if options.plot:
        options.plot.write_text(plot([attrs.asdict(reading) for reading in result.readings]), encoding="utf-8")
    if options.log:
        options.log.write_text(result.log, encoding="utf-8")
        options.log.with_suffix(".prom").write_text(result.metrics)
    print(result.text())
    return bool(result.problems)


if __name__ == "__main__":
    sys.exit(main())
