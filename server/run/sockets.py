"""The sockets that the server listens on, bound before anything loads.

`localhost` means both loopback addresses, because a client that resolves the name may try either one first. Every other
host is one address.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from collections.abc import Sequence

__all__ = ["PortUnavailable", "bind", "end_stalled_writes", "listen", "url_of"]

BACKLOG = 1024
LOOPBACK = ("127.0.0.1", "::1")
_MISSING = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
"""Errors of a machine that lacks the address family, or has it turned off."""
_TRIES = 20
"""Random ports to try until one is free on both addresses."""


class PortUnavailable(Exception):
    """Raised when the server cannot listen on the address; the message gives the reason in one line."""


def bind(host: str, port: int) -> list[socket.socket]:
    """Bound sockets of one port that do not listen yet, so that no client connects before a worker exists.

    An address family that this machine lacks is left out of `localhost`.

    Raises:
        PortUnavailable: the port is in use or not allowed, or the address does not belong to this machine.
    """
    if host.lower() != "localhost":
        return [_bind(host, port)]
    for _ in range(_TRIES):
        with contextlib.suppress(_TakenByChance):
            return _bind_loopback(port)
    raise PortUnavailable(f"no port is free on both {' and '.join(LOOPBACK)}; choose one with --port")


def listen(sockets: Sequence[socket.socket]) -> None:
    """Let clients connect.

    Raises:
        PortUnavailable: another process has begun to listen since `bind`.
    """
    for bound in sockets:
        try:
            bound.listen(BACKLOG)
        except OSError as error:
            host, port = bound.getsockname()[:2]
            raise PortUnavailable(_why(host, port, error)) from None


def end_stalled_writes(sockets: Sequence[socket.socket], timeout: float) -> None:
    """Have the system close connections whose client takes nothing that was sent for `timeout` seconds.

    Only Linux can. Connections inherit it from the listening socket.
    """
    if sys.platform == "linux":
        for bound in sockets:
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, round(timeout * 1000)))


def url_of(bound: socket.socket) -> str:
    """The server's URL for a client on this machine, such as `http://127.0.0.1:8000`."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _TakenByChance(Exception):
    """The port that the system chose for one address is in use on the other."""


def _bind_loopback(port: int) -> list[socket.socket]:
    chosen, bound = port, list[socket.socket]()
    try:
        for host in LOOPBACK:
            try:
                bound.append(_bind(host, chosen))
            except PortUnavailable as error:
                cause = error.__cause__
                if isinstance(cause, OSError) and cause.errno in _MISSING:
                    continue
                if bound and not port:
                    raise _TakenByChance from None
                raise
            chosen = bound[-1].getsockname()[1]
    except BaseException:
        for one in bound:
            one.close()
        raise
    if not bound:
        raise PortUnavailable("cannot listen on 'localhost': this machine has no loopback address")
    return bound


def _bind(host: str, port: int) -> socket.socket:
    """One bound socket. It is not set to SO_REUSEPORT, which granian would set: two servers could share one port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise PortUnavailable(f"cannot listen on {host!r}: it is not an address of this machine") from None
    bound: socket.socket | None = None
    try:
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6 and address[0] == "::":
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # IPv4 too, whatever the system's default is
        bound.bind(address)
    except OSError as error:
        if bound is not None:
            bound.close()
        raise PortUnavailable(_why(host, port, error)) from error
    return bound


def _why(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use; stop the program that uses it, or choose another port with --port"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"port {port} of {host} needs privileges; choose a port from 1024 up with --port"
    if error.errno in _MISSING:
        return f"cannot listen on {host!r}: it is not an address of this machine"
    return f"cannot listen on {host}:{port}: {error.strerror}"
