"""What befalls the server beside the requests: dead and hung engines, unloaded models, a full disk, an unread log."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import attrs
import psutil

from tests.soak.ledger import DISK, Ledger
from tests.soak.served import ENGINES, Served

__all__ = ["Troubles"]

BACK_SECONDS = 90.0
"""Time in which a model has to be ready again. An idle machine takes five seconds, and a hang as long again."""
DISK_SECONDS = 3.0
UNREAD_SECONDS = 5.0


@attrs.define
class Troubles:
    """One trouble after the other, in an order that the seed decides."""

    served: Served
    ledger: Ledger
    rng: random.Random
    problems: list[str] = attrs.field(factory=list)
    skipped: list[str] = attrs.field(factory=list)
    done: Counter[str] = attrs.field(factory=Counter)
    _last: dict[str, float] = attrs.field(factory=dict)

    @property
    def count(self) -> int:
        return self.done.total()

    async def plan(self, kills: int, hangs: int, others: int) -> Sequence[Callable[[], Awaitable[None]]]:
        """This number of kills and hangs, and of each other trouble that this server and system can have.

        One of each comes first: time may not suffice for all.
        """
        rest = [self.unread_log]
        if sys.platform == "linux":
            rest.append(self.full_disk)
        else:
            self.skipped.append("full disk: only Linux changes the limit of a running process")
        paths = (await self.served.get("/schema/openapi.json"))["paths"]
        if any(path.startswith("/v1/models/") and path.endswith("/unload") for path in paths):
            rest.append(self.unloaded)
        else:
            self.skipped.append("load and unload: this server has no such endpoints")
        planned = [self.kill] * kills + [self.hang] * hangs + [other for other in rest for _ in range(others)]
        self.rng.shuffle(planned)
        one_of_each = [*dict.fromkeys(planned)]
        for trouble in one_of_each:
            planned.remove(trouble)
        return [*one_of_each, *planned]

    async def kill(self) -> None:
        """SIGKILL an engine."""
        await self._lose(signal.SIGKILL, "engine killed")

    async def hang(self) -> None:
        """SIGSTOP an engine: the watchdog has to end it."""
        await self._lose(signal.SIGSTOP, "engine stopped")

    async def _lose(self, signum: signal.Signals, name: str) -> None:
        model = self._next()
        before = (await self.served.models())[model]["engine"]
        with self.ledger.outage(model):
            os.kill(before["pid"], signum)
            if await self._back(model, before["restarts"]):
                self.done[name] += 1
            else:
                self.problems.append(f"{model} is not ready {BACK_SECONDS:g} s after {signum.name}")

    def _next(self) -> str:
        """One of the two engines that were left in peace for longest: deaths in a row prolong the restart."""
        model = self.rng.choice(sorted(ENGINES, key=lambda name: self._last.get(name, 0.0))[:2])
        self._last[model] = time.monotonic()
        return model

    async def _back(self, model: str, restarts: int) -> bool:
        """Wait for the engine after the one that was lost."""
        end = time.monotonic() + BACK_SECONDS
        while time.monotonic() < end:
            now = (await self.served.models())[model]
            if now["engine"]["restarts"] > restarts and now["status"] == "ready":
                return True
            await asyncio.sleep(0.1)
        return False

    async def unloaded(self) -> None:
        """Unload a model and load it again. Requests wait meanwhile, or load it themselves: none is refused."""
        model = self._next()
        for action in ("unload", "load"):
            answer = await self.served.client.post(
                f"/v1/models/{model}/{action}", headers={"x-request-id": "control"}, timeout=BACK_SECONDS
            )
            if answer.status_code != 200:
                self.problems.append(f"{action} of {model}: {answer.status_code} {answer.text}")
        if not await self.served.ready(model, BACK_SECONDS):
            self.problems.append(f"{model} is not ready {BACK_SECONDS:g} s after its load")
        self.done["model unloaded and loaded"] += 1

    async def full_disk(self) -> None:
        """Let the server write no file. Its engines are left in peace: a new one would keep the limit."""
        worker = self.served.server.worker()
        before = worker.rlimit(psutil.RLIMIT_FSIZE)
        with self.ledger.outage(DISK):
            worker.rlimit(psutil.RLIMIT_FSIZE, (0, before[1]))
            try:
                await asyncio.sleep(DISK_SECONDS)
            finally:
                worker.rlimit(psutil.RLIMIT_FSIZE, before)
        self.done["disk full"] += 1

    async def unread_log(self) -> None:
        """Leave the server's log unread."""
        with self.served.server.log.unread():
            await asyncio.sleep(UNREAD_SECONDS)
        self.done["log unread"] += 1
