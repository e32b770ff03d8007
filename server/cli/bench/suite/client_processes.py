"""A load whose requests several processes send.

Reading an answer takes a client about 80 µs of processor time per token, and sending a request 2 ms. One process that
reads 128 answers would be slower than a fast GPU writes them, and the measurement would be its own.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor

from server.cli.bench.client import Sample, Workload
from server.cli.bench.load import LoadResult, ask_all

__all__ = ["ClientProcesses"]

_STREAMS = 16
"""Answers that one process reads together, where there are cores for more processes."""
_CORES = 4
"""Cores per process: most of them are the server's."""
_LEAD_SECONDS = 0.1
"""From the distribution of the requests until all processes send them."""


class ClientProcesses:
    """As many processes as the machine has cores to spare; without any, this process sends everything itself.

    The processes start and end with the block.
    """

    def __init__(self, most_streams: int) -> None:
        """`most_streams`: the most answers that a load reads together."""
        count = min((os.cpu_count() or 1) // _CORES, -(-most_streams // _STREAMS))
        self._pool: ProcessPoolExecutor | None = None
        self._count = 0
        if count > 1:
            # A fork of this process would share its event loops and pipes.
            context = multiprocessing.get_context("spawn")
            self._pool, self._count = ProcessPoolExecutor(count, mp_context=context), count

    def __enter__(self) -> ClientProcesses:
        # The pool starts a process per waiting call.
        if self._pool is not None:
            list(self._pool.map(time.sleep, [_LEAD_SECONDS] * self._count))
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def load(self, url: str, workload: Workload, streams: int) -> LoadResult:
        """Send one request per stream, all together, to the server at `url` (ending in `/v1`)."""
        count = min(self._count, -(-streams // _STREAMS))
        epoch = time.perf_counter()
        if self._pool is None or count < 2:
            samples = _send(url, workload, range(streams), epoch)
        else:
            epoch += _LEAD_SECONDS
            shares = [range(first, streams, count) for first in range(count)]
            calls = [self._pool.submit(_send, url, workload, share, epoch) for share in shares]
            samples = [sample for call in calls for sample in call.result()]
        return LoadResult.of(streams, samples, workload.max_tokens)


def _send(url: str, workload: Workload, numbers: range, epoch: float) -> list[Sample]:
    """Send these requests together when the run begins. `epoch`: as in `ask_all`; all processes share its clock."""
    time.sleep(max(0.0, epoch - time.perf_counter()))
    return asyncio.run(ask_all(url, workload, numbers, concurrency=len(numbers), epoch=epoch))
