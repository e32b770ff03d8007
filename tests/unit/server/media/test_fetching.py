"""What a URL of a client can and cannot make the server do."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from server.media import addresses, fetching
from server.media.fetching import MAX_REDIRECTS, Fetcher
from server.media.media import MediaRefused
from tests.unit.server.media.web import Reply, Resolver, contexts, fixed, moved, serving

PUBLIC = "127.0.0.2"
"""A loopback address that some tests take for public. macOS has only the first one."""
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs a second loopback address")


def fetcher(*, allow_private: bool = True, max_bytes: int = 1000, seconds: float = 20.0) -> Fetcher:
    return Fetcher(allow_private, max_bytes, seconds)


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take one loopback address for a public one, and no other."""
    monkeypatch.setattr(addresses, "is_public", lambda address: address == PUBLIC)


async def test_a_file_is_fetched_with_its_type_and_name() -> None:
    async with serving(fixed(b"text", content_type="Text/Plain; charset=utf-8", content_length="4")) as web:
        found = await fetcher().fetch(f"http://127.0.0.1:{web.port}/a/b%20c.txt?d=e#f")
    assert (found.content, found.media_type, found.name) == (b"text", "text/plain", "b c.txt")
    (head,) = web.heads
    assert head.startswith("GET /a/b%20c.txt?d=e HTTP/1.1\r\n")
    assert f"host: 127.0.0.1:{web.port}\r\n" in head.lower()
    assert "accept-encoding: identity" in head.lower()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"]
)
async def test_no_notation_of_a_private_address_is_connected_to(host: str) -> None:
    async with serving(fixed(b"secret")) as web:
        with pytest.raises(MediaRefused, match="not at a public address"):
            await fetcher(allow_private=False).fetch(f"http://{host}:{web.port}/")
    assert not web.heads


@linux
@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "[::ffff:127.0.0.1]", "localhost"])
async def test_a_redirect_to_a_private_address_is_refused(host: str) -> None:
    async with serving(fixed(b"secret")) as inside, serving(moved(f"http://{host}:{inside.port}/"), host=PUBLIC) as web:
        with pytest.raises(MediaRefused, match="not at a public address"):
            await fetcher(allow_private=False).fetch(f"http://{PUBLIC}:{web.port}/")
    assert len(web.heads) == 1
    assert not inside.heads


@linux
@pytest.mark.usefixtures("outside")
async def test_a_name_that_changes_its_address_gets_no_connection_to_the_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolver = Resolver({"rebind.test": [PUBLIC, "127.0.0.1"]})
    resolver.install(monkeypatch)
    async with serving(fixed(b"public"), host=PUBLIC) as web:
        found = await fetcher(allow_private=False).fetch(f"http://rebind.test:{web.port}/")
    assert found.content == b"public"
    assert resolver.asked == ["rebind.test"]
    assert f"host: rebind.test:{web.port}\r\n" in web.heads[0].lower()


@linux
@pytest.mark.usefixtures("outside")
async def test_a_name_with_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
        return [(2, 1, 6, "", (address, port)) for address in (PUBLIC, "127.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(MediaRefused, match="not at a public address"):
        await fetcher(allow_private=False).fetch("http://both.test/")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://127.0.0.1/a", "'ftp'"),
        ("gopher://127.0.0.1/", "'gopher'"),
        ("//127.0.0.1/", "''"),
        ("example.txt", "''"),
        ("http://", "no host"),
        ("http://user:secret@127.0.0.1/", "user or a password"),
        ("http://127.0.0.1:99999999/", "no URL"),
        ("http://[::1/", "no URL"),
        ("http://127.0.0.1/\0", "no URL"),
        ("http://127.0.0.1/" + "a" * 9000, "characters"),
    ],
)
async def test_what_is_no_url_of_the_web_is_refused(url: str, words: str) -> None:
    with pytest.raises(MediaRefused, match=words) as caught:
        await fetcher().fetch(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/", "data:,x", "http://[", "javascript:x"])
async def test_a_redirect_out_of_the_web_is_refused(to: str) -> None:
    async with serving(moved(to)) as web:
        with pytest.raises(MediaRefused):
            await fetcher().fetch(f"http://127.0.0.1:{web.port}/")


async def test_redirects_are_followed_and_counted() -> None:
    async def reply(path: str, writer: asyncio.StreamWriter) -> None:
        left = int(path.removeprefix("/"))
        await (moved(str(left - 1)) if left else fixed(b"end"))(path, writer)

    async with serving(reply) as web:
        assert (await fetcher().fetch(f"http://127.0.0.1:{web.port}/{MAX_REDIRECTS}")).content == b"end"
        with pytest.raises(MediaRefused, match="redirects more than"):
            await fetcher().fetch(f"http://127.0.0.1:{web.port}/{MAX_REDIRECTS + 1}")


async def test_a_loop_of_redirects_ends() -> None:
    async with serving(moved("/")) as web:
        with pytest.raises(MediaRefused, match="redirects more than"):
            await fetcher().fetch(f"http://127.0.0.1:{web.port}/")
    assert len(web.heads) == MAX_REDIRECTS + 1


async def test_cookies_of_a_redirect_are_not_sent() -> None:
    async def reply(path: str, writer: asyncio.StreamWriter) -> None:
        found = fixed(b"", "302 Found", location="/b", set_cookie="a=b") if path == "/a" else fixed(b"")
        await found(path, writer)

    async with serving(reply) as web:
        await fetcher().fetch(f"http://127.0.0.1:{web.port}/a")
    assert "cookie" not in web.heads[1].lower()


async def endless(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 100)
        await writer.drain()


async def chunked(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"64\r\n" + b"x" * 100 + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize(
    "reply",
    [endless, chunked, fixed(b"x" * 1001, content_length="1001"), fixed(b"", content_length="9" * 15)],
    ids=["endless", "chunked", "announced", "only announced"],
)
async def test_content_over_the_limit_is_refused(reply: Reply) -> None:
    async with serving(reply) as web:
        with pytest.raises(MediaRefused, match="more than 1,000 bytes"):
            await fetcher().fetch(f"http://127.0.0.1:{web.port}/")


async def test_content_of_the_limit_is_read() -> None:
    async with serving(fixed(b"x" * 1000)) as web:
        assert len((await fetcher().fetch(f"http://127.0.0.1:{web.port}/")).content) == 1000


async def drip(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n")
    for _byte in range(900):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def drip_head(_: str, writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" + b"a" * 900:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def silent(_: str, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


@pytest.mark.parametrize("reply", [drip, drip_head, silent])
async def test_a_server_that_takes_its_time_is_given_up(reply: Reply) -> None:
    async with serving(reply) as web:
        with pytest.raises(MediaRefused, match=r"took longer than 0\.5 seconds"):
            await fetcher(seconds=0.5).fetch(f"http://127.0.0.1:{web.port}/")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (fixed(b"x", content_length="100"), "RemoteProtocolError"),
        (fixed(b"x", content_length="-1"), "RemoteProtocolError"),
        (fixed(b"x", content_length="two"), "RemoteProtocolError"),
        (fixed(b"x", content_encoding="gzip"), "compressed"),
        (fixed(b"x", "404 Not Found"), "status 404"),
        (fixed(b"", "204 No Content"), "status 204"),
        (fixed(b"", "302 Found"), "status 302"),
        (fixed(b"x", "no status"), "RemoteProtocolError"),
    ],
)
async def test_a_response_that_is_none_is_refused(reply: Reply, words: str) -> None:
    async with serving(reply) as web:
        with pytest.raises(MediaRefused, match=words):
            await fetcher().fetch(f"http://127.0.0.1:{web.port}/")


async def test_more_content_than_announced_is_not_read() -> None:
    async with serving(fixed(b"x" * 900, content_length="3")) as web:
        assert (await fetcher().fetch(f"http://127.0.0.1:{web.port}/")).content == b"xxx"


async def test_a_port_without_a_server_is_named_as_such() -> None:
    async with serving(fixed(b"")) as web:
        pass
    with pytest.raises(MediaRefused, match=r"cannot be fetched \(ConnectError\)"):
        await fetcher().fetch(f"http://127.0.0.1:{web.port}/")


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(fixed(b"direct")) as web, serving(fixed(b"by proxy")) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert (await fetcher().fetch(f"http://127.0.0.1:{web.port}/")).content == b"direct"


async def test_a_certificate_must_be_that_of_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server, client = contexts("media.test", tmp_path)
    monkeypatch.setattr(fetching, "_tls", lambda: client)
    Resolver({"media.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]}).install(monkeypatch)
    async with serving(fixed(b"safe"), tls=server) as web:
        assert (await fetcher().fetch(f"https://media.test:{web.port}/")).content == b"safe"
        for host in ("other.test", "127.0.0.1"):
            with pytest.raises(MediaRefused, match="cannot be fetched"):
                await fetcher().fetch(f"https://{host}:{web.port}/")
