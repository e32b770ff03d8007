"""The mix: clients, troubles and readings side by side, until a number of requests or the time is reached."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence

import attrs

from tests.soak.client import Client
from tests.soak.kinds import KINDS
from tests.soak.ledger import Ledger
from tests.soak.resources import Held
from tests.soak.served import Served
from tests.soak.troubles import Troubles
from tests.soak.wire import Broken

__all__ = ["Mix"]

CLIENTS = 16
BOUND = 60.0
"""Seconds after which a request counts as hanging."""
WARM_UP = 400
"""Requests before the first reading that the last one is compared with."""
POLL = 0.5
"""Seconds between two looks at `/traces`, which keeps 200 requests."""
READ_EVERY = 2.0
AHEAD = 3
"""Troubles by whose share of the requests the clients may be ahead of the troubles."""


@attrs.define
class Mix:
    """Sends `requests` requests (None: until `deadline`), spread over the troubles; stops at `deadline` in any case."""

    served: Served
    ledger: Ledger
    troubles: Troubles
    seed: int
    requests: int | None
    deadline: float
    readings: list[Held] = attrs.field(factory=list)
    _number: int = 0
    _planned: int = 0
    _sequence: int = 0

    async def warm_up(self) -> None:
        """Send requests without troubles: caches fill, threads start."""
        end = (time.monotonic() + self.deadline) / 2
        await self._all_clients(lambda: self._number >= WARM_UP or time.monotonic() >= end)

    async def run(self, planned: Sequence[Callable[[], Awaitable[None]]]) -> None:
        """Send the rest of the requests while the troubles come one after the other."""
        self._planned = len(planned)
        looks = ((POLL, self.traces), (READ_EVERY, self.read))
        watching = [asyncio.create_task(self._look(every, look)) for every, look in looks]
        try:
            befalling = asyncio.create_task(self._befall(planned))
            await self._all_clients(lambda: self._over(befalling))
            await befalling
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def _befall(self, planned: Sequence[Callable[[], Awaitable[None]]]) -> None:
        """Begin each trouble when its share of the requests, or of the time, has passed."""
        begun = time.monotonic()
        for number, trouble in enumerate(planned):
            share = number / len(planned)
            while time.monotonic() < self.deadline and not self._reached(share, begun):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            if time.monotonic() >= self.deadline:
                return
            await trouble()

    def _reached(self, share: float, begun: float) -> bool:
        if self.requests is not None:
            return len(self.ledger.sent) >= share * self.requests
        return time.monotonic() >= begun + share * (self.deadline - begun)

    def _over(self, befalling: asyncio.Task[None]) -> bool:
        if time.monotonic() >= self.deadline:
            return True
        return self.requests is not None and len(self.ledger.sent) >= self.requests and befalling.done()

    def _ahead(self) -> bool:
        """Whether the clients have sent the share of `AHEAD` troubles that are still to come."""
        if self.requests is None or self._planned == 0:
            return False
        return len(self.ledger.sent) > self.requests * (self.troubles.count + AHEAD) / self._planned

    async def _all_clients(self, over: Callable[[], bool]) -> None:
        await asyncio.gather(*(self._client(over) for _ in range(CLIENTS)))

    async def _client(self, over: Callable[[], bool]) -> None:
        while not over():
            if self._ahead():
                await asyncio.sleep(0.1)
                continue
            self._number += 1
            await self._one(self._number)

    async def _one(self, number: int) -> None:
        rng = random.Random(f"{self.seed} {number}")
        client = Client(self.served.port, self.ledger, f"soak-{self.seed}-{number}", rng)
        kind = rng.choices([*KINDS], [*KINDS.values()])[0]
        before = len(self.ledger.sent)
        try:
            async with asyncio.timeout(BOUND):
                await kind(client)
        except TimeoutError:
            problem = f"hangs for {BOUND:g} s"
        except (Broken, OSError, KeyError, ValueError, AttributeError, TypeError) as error:
            problem = repr(error)
        else:
            return
        for sent in self.ledger.sent[before:]:
            if sent.id.startswith(f"{client.name}-") and not sent.ended:
                sent.problem, sent.ended = sent.problem or problem, time.monotonic()

    async def _look(self, every: float, look: Callable[[], Awaitable[object]]) -> None:
        while True:
            await look()
            await asyncio.sleep(every)

    async def traces(self) -> None:
        """Note the requests that ended since the last look."""
        data = await self.served.get(f"/traces/data?since={self._sequence}")
        finished = [request for request in data["requests"] if request["finished"]]
        self.ledger.untraced += max(0, data["sequence"] - self._sequence - len(finished))
        self._sequence = data["sequence"]
        for request in finished:
            self.ledger.trace(request)

    async def read(self) -> Held:
        """Read what the server holds now."""
        self.readings.append(await asyncio.to_thread(self.served.held))
        return self.readings[-1]
