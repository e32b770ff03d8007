"""Normal requests beside slow and silent clients, and a stream beside large bodies:
`python -m tests.measurements.measure_slow_clients [ROUNDS]`.

Starts servers with the echo model. The first table has the median of a short chat, and of a health request, beside
connections that dribble, stay silent or are idle. Before each row the same is measured without them. The second table
has the gaps between the pieces of a stream, in whose course another process sends bodies of 31 MB back to back.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

from tests.live.client import chat
from tests.live.harness import start
from tests.live.slow_clients import Clients, Fault, dribbling, head, idle, raise_descriptors, silent

REQUESTS = 50
FAULTS: dict[str, list[tuple[Fault, int]]] = {
    "200 dribbling": [(dribbling, 200)],
    "1,030 silent": [(silent, 1_030)],
    "2,000 idle": [(idle, 2_000)],
    "all of them": [(dribbling, 200), (silent, 1_030), (idle, 2_000)],
}
SECONDS = 8.0
"""Of a stream and of the bodies beside it."""
PIECE = 0.01
"""Seconds between two pieces of the stream."""
SIZE = 31_000_000
PATH = "/v1/chat/completions"


def bodies() -> dict[str, bytes]:
    """Bodies of `SIZE`: one text, an image that the model does not take, more messages than are decoded."""
    message = {"role": "user", "content": "x"}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * SIZE}}
    messages = [message] * (SIZE // len(json.dumps(message) + ", "))
    return {
        "text": json.dumps(chat("x", max_tokens=1, metadata={"text": "word " * (SIZE // 5)})).encode(),
        "image": json.dumps({"messages": [{"role": "user", "content": [image]}]}).encode(),
        "messages": json.dumps({"messages": messages}).encode(),
    }


def send(url: str, kind: str) -> None:
    """Send bodies of one kind for `SECONDS`, from the first line of the input on. Prints how many, and the statuses."""
    body, statuses = bodies()[kind], list[int]()
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        connection.request("POST", PATH, body, {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
        connection.close()
        statuses.append(response.status)
    print(f"{len(statuses)} bodies, status {', '.join(str(status) for status in sorted(set(statuses)))}", flush=True)


async def median(measure: Callable[[], Awaitable[float]]) -> float:
    return statistics.median([await measure() for _ in range(REQUESTS)])


async def beside_connections(url: str, rounds: int) -> None:
    clients = Clients(url)
    await median(clients.normal)
    print(f"{'beside':<16}{'quiet':>10}{'chat':>10}{'ratio':>8}{'health':>10}   medians in ms, best of {rounds} rounds")
    for name, faults in FAULTS.items():
        quiet, beside, probe = list[float](), list[float](), list[float]()
        for _ in range(rounds):
            quiet.append(await median(clients.normal))
            async with AsyncExitStack() as held:
                for fault, count in faults:
                    await held.enter_async_context(clients.holding(fault, count))
                beside.append(await median(clients.normal))
                probe.append(await median(clients.probe))
        times = f"{min(quiet) * 1e3:>10.2f}{min(beside) * 1e3:>10.2f}{min(beside) / min(quiet):>8.2f}"
        print(f"{name:<16}{times}{min(probe) * 1e3:>10.2f}", flush=True)


async def gaps(url: str) -> list[float]:
    """Seconds between the pieces of a stream that runs for `SECONDS`."""
    address = urlsplit(url)
    body = json.dumps(chat("word " * round(2 * SECONDS / PIECE), stream=True)).encode()
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(head("POST", PATH, len(body)) + body)
    await reader.readuntil(b"word")
    found, last = [], time.monotonic()
    end = last + SECONDS
    while last < end:
        assert await reader.read(65_536)
        found.append(time.monotonic() - last)
        last += found[-1]
    writer.close()
    return sorted(found)


def beside_bodies(url: str) -> None:
    print(
        f"\n{'31 MB bodies':<16}{'largest':>10}{'99 %':>10}   gaps of a stream with pieces every {PIECE * 1e3:.0f} ms"
    )
    for kind in ("none", *bodies()):
        found, sent = gaps_beside(url, kind) if kind != "none" else (asyncio.run(gaps(url)), "")
        largest, high = found[-1] * 1e3, found[int(len(found) * 0.99)] * 1e3
        print(f"{kind:<16}{largest:>10.1f}{high:>10.1f}   {sent}", flush=True)


def gaps_beside(url: str, kind: str) -> tuple[list[float], str]:
    """The gaps of a stream beside bodies of this kind, and what their sender prints."""
    command = [sys.executable, "-m", "tests.measurements.measure_slow_clients", url, kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sender:
        assert sender.stdin is not None
        assert sender.stdout is not None
        sender.stdout.readline()
        sender.stdin.write("\n")
        sender.stdin.flush()
        found = asyncio.run(gaps(url))
        return found, sender.communicate()[0].strip()


def main() -> None:
    if sys.argv[2:]:
        send(sys.argv[1], sys.argv[2])
        return
    raise_descriptors(8_192)
    rounds = int(sys.argv[1]) if sys.argv[1:] else 3
    for delay, measure in (
        ("0", lambda url: asyncio.run(beside_connections(url, rounds))),
        (str(PIECE), beside_bodies),
    ):
        server = start("--model-type", "echo", "--model-path", f"delay={delay}", "--log-level", "warning")
        try:
            measure(server.url)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
