"""A web server that sends any bytes, and a resolver that answers as a test wants."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Reply = Callable[[str, asyncio.StreamWriter], Awaitable[None]]
"""Called with the path of a request."""


@attrs.define
class Web:
    """A running server and the heads of the requests that it got."""

    port: int
    heads: list[str] = attrs.field(factory=list)


@asynccontextmanager
async def serving(reply: Reply, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Web]:
    """Serve one request for each connection."""
    web = Web(0)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            web.heads.append(head)
            await reply(head.split(" ")[1], writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, host, 0, ssl=tls)
    async with server:
        web.port = server.sockets[0].getsockname()[1]
        yield web


def fixed(content: bytes, status: str = "200 OK", **headers: str) -> Reply:
    """The same response to every request."""
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]

    async def reply(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status}\r\n{''.join(lines)}\r\n".encode() + content)

    return reply


def moved(to: str) -> Reply:
    """A redirect."""
    return fixed(b"", "302 Found", location=to, content_length="0")


@attrs.define
class Resolver:
    """Names and the addresses that they have at the first look-up, the second, and so on. Counts look-ups by name."""

    names: dict[str, list[str]]
    asked: list[str] = attrs.field(factory=list)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
            self.asked.append(host)
            known = self.names.get(host)
            address = host if known is None else known.pop(0) if len(known) > 1 else known[0]
            return [(2, 1, 6, "", (address, port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


def contexts(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The context of a server with a certificate for a name, and that of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files[1].write_bytes(private)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*files)
    return server, ssl.create_default_context(cafile=str(files[0]))
