"""Addresses from which the server fetches for clients: public ones, unless the server's operator allows all.

A name is resolved once. Every address that it has is checked, and the connection goes to one of these addresses: a name
that resolves to another address a moment later (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

__all__ = ["AddressRefused", "is_public", "resolve"]

_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
"""The last 32 bits are an IPv4 address."""
_TEREDO = IPv6Network("2001::/32")
_OF_CLOUDS = frozenset({IPv4Address("168.63.129.16")})
"""Public addresses that reach the host of a virtual machine. Other metadata services have link-local addresses."""


class AddressRefused(Exception):
    """A name has no address, or one that is not public. The message is for the client."""


async def resolve(host: str, port: int, *, allow_private: bool) -> list[str]:
    """The addresses of a host, as the system's resolver orders them. `host` may be an address in any form it reads.

    Raises:
        AddressRefused: there is none, or one of them is not public.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise AddressRefused("its host has no address") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not allow_private and not all(map(is_public, addresses)):
        raise AddressRefused("its host is not at a public address")
    return addresses


def is_public(address: str) -> bool:
    """Whether an address is reachable by everyone: not loopback, private, link-local, shared, multicast or reserved.

    IPv6 addresses that stand for an IPv4 address are as public as that one.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return _is_public_ipv4(found) if isinstance(found, IPv4Address) else _is_public_ipv6(found)


def _is_public_ipv4(address: IPv4Address) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved and address not in _OF_CLOUDS


def _is_public_ipv6(address: IPv6Address) -> bool:
    within = address.ipv4_mapped or address.sixtofour
    if within is None and address in _NAT64:
        within = IPv4Address(int(address) & 0xFFFF_FFFF)
    if within is not None:
        return _is_public_ipv4(within)
    return address in _UNICAST and address not in _TEREDO and address.is_global and address.scope_id is None
