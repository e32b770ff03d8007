"""The ranks of one model: how a process becomes one of them, and the sockets from rank 0 to the others.

MLX's collectives carry arrays. Orders take sockets of their own: a rank that waits inside a collective keeps a core
busy (measured with the ring: 0.44 s of processor time per second), and an idle model must cost nothing.

The MLX thread sends or takes orders, and further threads watch the sockets: each rank sends rank 0 a byte per second,
and one for each vote. A socket that ends, or that is silent for long, ends this process, wherever its MLX thread waits.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, TypeVar

import mlx.core as mx

from providers.engine_host.frames import Load, decode_command, encode
from providers.engines.group import orders
from providers.engines.group.address import HOST_VARIABLE
from providers.engines.group.ranks import Packs, Ranks
from providers.errors import OutOfMemory
from providers.spec import ModelSpec

__all__ = ["Follower", "Leader", "end_process", "join"]

T = TypeVar("T")

logger = logging.getLogger(__name__)

_JOIN_SECONDS = 60.0
_BEAT_SECONDS = 1.0
_SILENT_SECONDS = 60.0
"""Seconds without a beat after which a rank counts as lost: imports and native code may hold the GIL."""
_REPORT_SECONDS = 5.0
_TOKEN_BYTES = 16
_ADDRESS_BYTES = 256
_BEAT, _NO, _YES = b"."[0], b"n"[0], b"y"[0]


def join() -> Leader | Follower:
    """Make this process one of the ranks that were started together. Call it before the MLX thread starts.

    Raises:
        RuntimeError: MLX was not built with the backend, or the ranks do not reach each other.
        OSError: rank 0 cannot be reached.
    """
    world = mx.distributed.init(strict=True)
    if world.rank() == 0:
        return _lead(world)
    token, _, address = _broadcast(b"").partition(b" ")
    host, _, port = address.decode().rpartition(":")
    link = socket.create_connection((host, int(port)), timeout=_JOIN_SECONDS)
    link.sendall(token + bytes([world.rank()]))
    link.settimeout(None)
    return Follower(world, link)


def _lead(world: Any) -> Leader:
    host = os.environ.get(HOST_VARIABLE) or "127.0.0.1"
    token = secrets.token_hex(_TOKEN_BYTES // 2).encode()
    with socket.create_server((host, 0), backlog=world.size()) as listener:
        _broadcast(token + f" {host}:{listener.getsockname()[1]}".encode())
        listener.settimeout(_JOIN_SECONDS)
        links: dict[int, socket.socket] = {}
        while len(links) < world.size() - 1:
            link, _ = listener.accept()
            link.settimeout(_JOIN_SECONDS)
            greeting = link.makefile("rb", buffering=0).read(_TOKEN_BYTES + 1) or b""
            if secrets.compare_digest(greeting[:-1], token):
                link.settimeout(None)
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                links[greeting[-1]] = link
            else:
                link.close()
    return Leader(world, [links[rank] for rank in sorted(links)])


def _broadcast(message: bytes) -> bytes:
    """Rank 0's message, on every rank; the others pass an empty one."""
    padded = mx.array([*message.ljust(_ADDRESS_BYTES, b"\0")], dtype=mx.int32)
    summed: list[int] = mx.distributed.all_sum(padded if message else padded * 0).tolist()  # type: ignore[assignment]
    return bytes(summed).rstrip(b"\0")


def end_process(status: int, why: str) -> NoReturn:
    """End this rank, whatever its threads do."""
    if status:
        logger.error("this rank ends: %s", why)
    logging.shutdown()
    os._exit(status)


class _Rank(Ranks):
    def __init__(self, world: Any, end: Callable[[int, str], object]) -> None:
        self._end = end
        self.world = world
        self.size = int(world.size())

    @property
    def share(self) -> Callable[[mx.array], mx.array]:
        return self._share

    def _share(self, tokens: mx.array) -> mx.array:
        # The others' tokens must stay in the graph: they keep this sum after the sums that they are computed from.
        own = tokens if self.leads else tokens * 0
        return mx.distributed.all_sum(own, group=self.world)

    def check(self, error: BaseException) -> None:
        if not isinstance(error, OutOfMemory):  # the ranks agree on what fits
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """End this rank, since it is perhaps the only one that the error has reached."""
        logger.error("rank %d failed", self.world.rank(), exc_info=error)
        self._end(1, repr(error))


class Leader(_Rank):
    """Rank 0."""

    def __init__(
        self, world: Any, links: Sequence[socket.socket], *, end: Callable[[int, str], object] = end_process
    ) -> None:
        """`links`: the sockets to the other ranks. `end` ends the process, with a status and the reason."""
        super().__init__(world, end)
        self._links = links
        self._held: list[bytes] | None = None
        self._votes: list[queue.SimpleQueue[bool]] = [queue.SimpleQueue() for _ in links]
        for index, link in enumerate(links):
            threading.Thread(target=self._watch, args=(index, link), name="watch", daemon=True).start()

    def load(self, spec: ModelSpec) -> None:
        self._send(encode(Load(spec)))

    def agree(self, value: T) -> T:
        self._send(orders.frame(orders.Value(value)))
        return value

    def every(self, value: bool) -> bool:
        votes = [each.get() for each in self._votes]
        return self.agree(value and all(votes))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        self._held = []
        try:
            yield
        finally:
            held, self._held = self._held, None
            if held:
                self._send(b"".join(held))

    def submit(self, job: Packs) -> None:
        self._send(orders.frame(orders.Submit(job.packed())))

    def cancel(self, request_id: str) -> None:
        self._send(orders.frame(orders.Cancel(request_id)))

    def step(self) -> None:
        self._send(orders.frame(orders.Step()))

    def tidy(self) -> None:
        self._send(orders.frame(orders.Tidy()))

    def _send(self, framed: bytes) -> None:
        if self._held is not None:
            self._held.append(framed)
            return
        for link in self._links:
            link.sendall(framed)

    def _watch(self, index: int, link: socket.socket) -> None:
        why = "has ended"
        with contextlib.suppress(OSError):
            while select.select([link], [], [], _SILENT_SECONDS)[0]:
                received = link.recv(4096)
                if not received:
                    break
                for vote in received:
                    if vote != _BEAT:
                        self._votes[index].put(vote == _YES)
            else:
                why = f"has sent no sign of life for {_SILENT_SECONDS:g} s"
        self._end(1, f"rank {1 + index} {why}")


class Follower(_Rank):
    """A rank other than 0."""

    leads = False

    def __init__(self, world: Any, link: socket.socket, *, end: Callable[[int, str], object] = end_process) -> None:
        """`link`: the socket to rank 0. `end`: as for `Leader`."""
        super().__init__(world, end)
        self._link = link
        self._frames: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="orders", daemon=True).start()
        threading.Thread(target=self._beat, name="beats", daemon=True).start()

    def next_load(self) -> ModelSpec:
        """The model to load, which is rank 0's first order. Waits for it."""
        load = decode_command(self._frames.get())
        assert isinstance(load, Load)
        return load.spec

    def next_order(self) -> orders.Order:
        """What rank 0 did next. Waits for it."""
        return orders.decode(self._frames.get())

    def agree(self, value: T) -> T:
        order = self.next_order()
        if isinstance(order, orders.Value):
            agreed: T = order.value
            return agreed
        self._end(1, f"rank 0 goes on with {order!r} where this rank waits for a value")
        raise AssertionError  # this rank has ended

    def every(self, value: bool) -> bool:
        self._link.sendall(bytes([_YES if value else _NO]))
        return self.agree(value)

    def fail(self, error: BaseException) -> None:
        # Mostly rank 0 has ended, which ends this process now, or fails alike. Its report must reach the server before
        # it sees that this rank has ended.
        time.sleep(_REPORT_SECONDS)
        super().fail(error)

    def _read(self) -> None:
        reader = self._link.makefile("rb")
        with contextlib.suppress(OSError):
            while len(header := reader.read(orders.HEADER.size)) == orders.HEADER.size:
                (length,) = orders.HEADER.unpack(header)
                self._frames.put(reader.read(length))
        self._end(0, "rank 0 has ended")

    def _beat(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._link.sendall(bytes([_BEAT]))
                time.sleep(_BEAT_SECONDS)
