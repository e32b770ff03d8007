"""Fetch of a URL that a client names: from public addresses, within limits of size, time and redirects."""

from __future__ import annotations

import asyncio
import functools
import ssl
from contextlib import aclosing
from ipaddress import ip_address
from pathlib import PurePosixPath
from urllib.parse import unquote

import attrs
import httpx

from server.media.addresses import AddressRefused, resolve
from server.media.media import Media, MediaRefused, refuse_larger

__all__ = ["Fetcher"]

MAX_REDIRECTS = 5
MAX_URL = 8192
"""Characters of a URL."""
AT_THE_SAME_TIME = 8
"""Fetches that run together; others wait within their own time."""
_TIMEOUT = httpx.Timeout(None, connect=5.0)
"""A host may have several addresses, of which one does not answer. The fetch has a limit for all of it."""
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@attrs.define(eq=False)
class Fetcher:
    """Fetches URLs, each over a connection of its own and without cookies."""

    allow_private: bool
    max_bytes: int
    seconds: float
    """For all of a fetch: names, connections, redirects and content."""
    _places: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(AT_THE_SAME_TIME), init=False)

    async def fetch(self, url: str) -> Media:
        """The content of an `http` or `https` URL.

        Every redirect is checked as the URL is. Proxies of the environment are not used: they would connect to
        addresses that were not checked.

        Raises:
            MediaRefused: it cannot be fetched, or not within the limits.
        """
        try:
            async with asyncio.timeout(self.seconds), self._places:
                place = _parsed(url)
                for _ in range(MAX_REDIRECTS + 1):
                    found = await self._get(place)
                    if isinstance(found, Media):
                        return found
                    place = found
        except TimeoutError:
            raise MediaRefused(f"it took longer than {self.seconds:g} seconds (--media-timeout)") from None
        raise MediaRefused(f"it redirects more than {MAX_REDIRECTS} times")

    async def _get(self, url: httpx.URL) -> Media | httpx.URL:
        """The content at a URL, or where it redirects to."""
        host = url.raw_host.decode("ascii")
        try:
            addresses = await resolve(host, url.port or _PORTS[url.scheme], allow_private=self.allow_private)
        except AddressRefused as error:
            raise MediaRefused(str(error)) from None
        # Without a client, whose redirects, cookies and proxies are not wanted.
        transport = httpx.AsyncHTTPTransport(verify=await asyncio.to_thread(_tls), trust_env=False)
        try:
            async with transport, aclosing(await _connected(transport, url, addresses)) as response:
                return await self._read(response, url)
        except httpx.HTTPError as error:
            raise MediaRefused(f"it cannot be fetched ({type(error).__name__})") from None

    async def _read(self, response: httpx.Response, url: httpx.URL) -> Media | httpx.URL:
        if response.status_code in _REDIRECTS and "location" in response.headers:
            try:
                return _parsed(str(url.join(response.headers["location"])))
            except httpx.InvalidURL:
                raise MediaRefused("it redirects to what is no URL") from None
        if response.status_code != 200:
            raise MediaRefused(f"its server responded with status {response.status_code}")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise MediaRefused("its server compressed it, which was not requested")
        length = response.headers.get("content-length", "")
        refuse_larger(int(length) if length.isdecimal() else 0, self.max_bytes)
        content = bytearray()
        async for chunk in response.aiter_raw():
            content += chunk
            refuse_larger(len(content), self.max_bytes)
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Media(content=bytes(content), media_type=media_type or None, name=_name(url))


async def _connected(transport: httpx.AsyncHTTPTransport, url: httpx.URL, addresses: list[str]) -> httpx.Response:
    """The head of the response of the first address that accepts a connection."""
    host = url.raw_host.decode("ascii")
    headers = {"host": url.netloc.decode("ascii"), "accept": "*/*", "accept-encoding": "identity"}
    for number, address in enumerate(addresses, 1):
        request = httpx.Request("GET", url.copy_with(host=address), headers=headers)
        request.extensions["timeout"] = _TIMEOUT.as_dict()
        if not _is_address(host):
            request.extensions["sni_hostname"] = host  # the certificate is that of the name
        try:
            return await transport.handle_async_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            if number == len(addresses):
                raise
    raise MediaRefused("its host has no address")


def _parsed(url: str) -> httpx.URL:
    """Raises: MediaRefused: it is none that the server fetches."""
    if len(url) > MAX_URL:
        raise MediaRefused(f"it has more than {MAX_URL} characters")
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):
        raise MediaRefused("it is no URL") from None
    if parsed.scheme not in _PORTS:
        raise MediaRefused(f"URLs of the scheme {parsed.scheme[:16]!r} are not fetched")
    if parsed.userinfo:
        raise MediaRefused("URLs with a user or a password are not fetched")
    if not parsed.host:
        raise MediaRefused("it has no host")
    if not 0 < (parsed.port or 1) < 2**16:
        raise MediaRefused("it is no URL")
    return parsed.copy_with(fragment=None)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _name(url: httpx.URL) -> str | None:
    return PurePosixPath(unquote(url.path)).name or None


@functools.cache
def _tls() -> ssl.SSLContext:
    """httpx's own context. It takes tens of milliseconds to make, as it reads every certificate."""
    return httpx.create_ssl_context()
