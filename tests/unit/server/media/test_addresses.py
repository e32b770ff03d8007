"""Which addresses are public, in every notation that a resolver reads."""

from __future__ import annotations

import pytest

from server.media.addresses import AddressRefused, is_public, resolve


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"],
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.2.1", "198.18.0.1", "168.63.129.16"),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:0:127.0.0.1", "::ffff:169.254.169.254"),
        *("fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
        *("64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::1", "2002:a9fe:a9fe::", "2001:0:808:808::1"),
        *("", "localhost", "8.8.8", "8.8.8.8.8"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "::1", "localhost"])
async def test_a_host_at_a_private_address_is_refused_in_every_notation(host: str) -> None:
    with pytest.raises(AddressRefused):
        await resolve(host, 80, allow_private=False)


async def test_private_addresses_are_resolved_where_they_are_allowed() -> None:
    assert await resolve("2130706433", 80, allow_private=True) == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 300, "\ud800"])
async def test_a_host_without_an_address_is_refused(host: str) -> None:
    with pytest.raises(AddressRefused, match="no address"):
        await resolve(host, 80, allow_private=True)
