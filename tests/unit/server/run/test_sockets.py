import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from server.run import sockets
from server.run.sockets import PortUnavailable, bind, listen, url_of

HAS_IPV6 = socket.has_ipv6 and any(address[4][0] == "::1" for address in socket.getaddrinfo("::1", 0))
needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="the machine has no IPv6")


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A listener on the second loopback address only."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        yield listener


def names(bound: list[socket.socket]) -> list[tuple[Any, ...]]:
    try:
        return [one.getsockname()[:2] for one in bound]
    finally:
        for one in bound:
            one.close()


@needs_ipv6
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST"])
def test_localhost_is_one_port_on_both_loopback_addresses(host: str) -> None:
    (first, port), second = names(bind(host, 0))

    assert (first, second) == ("127.0.0.1", ("::1", port))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", pytest.param("::1", marks=needs_ipv6)])
def test_an_address_means_only_itself(host: str) -> None:
    assert [name for name, _ in names(bind(host, 0))] == [host]


@needs_ipv6
def test_every_ipv6_address_includes_ipv4() -> None:
    bound = bind("::", 0)
    listen(bound)

    with socket.create_connection(("127.0.0.1", bound[0].getsockname()[1]), timeout=5):
        assert names(bound)[0][0] == "::"


@pytest.mark.parametrize("missing", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_without_ipv6_localhost_is_the_other_address(missing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def without_ipv6(family: int, *rest: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(missing, "no such family")
        return real(family, *rest)

    monkeypatch.setattr(sockets.socket, "socket", without_ipv6)

    assert [name for name, _ in names(bind("localhost", 0))] == ["127.0.0.1"]


def test_without_any_loopback_address_there_is_no_localhost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "LOOPBACK", ("192.0.2.1",))

    with pytest.raises(PortUnavailable, match="no loopback address"):
        bind("localhost", 0)


@needs_ipv6
def test_a_port_in_use_on_the_second_address_only_is_an_error(taken: socket.socket) -> None:
    port = taken.getsockname()[1]

    with pytest.raises(PortUnavailable, match=f"port {port} of ::1 is in use"):
        listen(bind("localhost", port))


@needs_ipv6
def test_a_free_port_is_free_on_both_addresses(taken: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    real, tries = sockets._bind, list[int]()

    def first_a_port_that_is_taken(host: str, port: int) -> socket.socket:
        if host == "127.0.0.1":
            tries.append(port)
            port = taken.getsockname()[1] if len(tries) == 1 else port
        return real(host, port)

    monkeypatch.setattr(sockets, "_bind", first_a_port_that_is_taken)

    (_, port), second = names(bind("localhost", 0))
    assert second == ("::1", port)
    assert len(tries) == 2


def test_the_url_is_one_that_a_client_can_call() -> None:
    for host, start in (("0.0.0.0", "http://127.0.0.1:"), ("127.0.0.1", "http://127.0.0.1:")):
        bound = bind(host, 0)
        assert url_of(bound[0]).startswith(start)
        names(bound)


@needs_ipv6
def test_an_ipv6_address_is_in_brackets_in_the_url() -> None:
    for host in ("::", "::1"):
        bound = bind(host, 0)
        assert url_of(bound[0]).startswith("http://[::1]:")
        names(bound)
