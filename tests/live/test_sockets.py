"""What leaves and arrives on a connection, byte by byte: interim responses, and uploads that are refused early."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from tests.live.client import PATIENCE, chat
from tests.live.harness import LiveServer

JSON = "application/json"
FORM = "multipart/form-data; boundary=b"
ORIGIN = "https://page.example"
HUGE = 500_000_000


@contextmanager
def connection(server: LiveServer) -> Iterator[socket.socket]:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connected:
        yield connected


def head(path: str, content_type: str, *lines: str) -> bytes:
    return "\r\n".join(
        [
            f"POST {path} HTTP/1.1",
            "Host: localhost",
            f"Origin: {ORIGIN}",
            f"Content-Type: {content_type}",
            *lines,
            "\r\n",
        ]
    ).encode()


def received(connected: socket.socket, until: bytes) -> str:
    """What the server sends up to `until`, or to the end of the connection."""
    data = b""
    while until not in data and (piece := connected.recv(65_536)):
        data += piece
    return data.decode()


def form(filling: int = 0) -> bytes:
    model = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nnone\r\n'
    file = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    return model + file + bytes(filling) + b"\r\n--b--\r\n"


@pytest.mark.parametrize(
    ("path", "content_type", "body", "status"),
    [
        ("/v1/chat/completions", JSON, json.dumps(chat("Hello")).encode(), 200),
        ("/v1/audio/transcriptions", FORM, form(2_000_000), 404),  # the echo model does not transcribe
    ],
)
def test_a_client_that_expects_it_is_asked_for_the_body_immediately(
    echo_server: LiveServer, path: str, content_type: str, body: bytes, status: int
) -> None:
    with connection(echo_server) as connected:
        connected.sendall(head(path, content_type, f"Content-Length: {len(body)}", "Expect: 100-continue"))
        assert received(connected, b"\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n"

        connected.sendall(body)
        assert received(connected, b"\r\n\r\n").startswith(f"HTTP/1.1 {status} ")


@pytest.mark.parametrize(
    ("content_type", "length", "status"), [("text/plain", 100, 415), (JSON, HUGE, 413), (FORM, HUGE, 415)]
)
def test_a_request_that_is_refused_by_its_headers_is_never_asked_for_the_body(
    echo_server: LiveServer, content_type: str, length: int, status: int
) -> None:
    with connection(echo_server) as connected:
        connected.sendall(
            head("/v1/chat/completions", content_type, f"Content-Length: {length}", "Expect: 100-continue")
        )
        assert received(connected, b"\r\n\r\n").startswith(f"HTTP/1.1 {status} ")


@pytest.mark.parametrize(("path", "content_type"), [("/v1/chat/completions", JSON), ("/v1/audio/transcriptions", FORM)])
def test_an_upload_over_the_limit_is_refused_before_it_is_sent(
    echo_server: LiveServer, path: str, content_type: str
) -> None:
    with connection(echo_server) as connected:
        connected.sendall(head(path, content_type, f"Content-Length: {HUGE}") + bytes(65_536))
        answer = received(connected, b"}}")

    assert answer.startswith("HTTP/1.1 413 ")
    assert "\r\naccess-control-allow-origin: *\r\n" in answer
    assert "--max-upload" in answer


def test_an_upload_of_unknown_length_is_refused_at_the_limit(echo_server: LiveServer) -> None:
    piece = b"%x\r\n" % 1_000_000 + bytes(1_000_000) + b"\r\n"
    with connection(echo_server) as connected:
        connected.sendall(head("/v1/chat/completions", JSON, "Transfer-Encoding: chunked"))
        for _ in range(33):  # megabytes; the limit is 32
            connected.sendall(piece)
        answer = received(connected, b"}}")

    assert answer.startswith("HTTP/1.1 413 ")
    assert "\r\naccess-control-allow-origin: *\r\n" in answer


def test_a_client_that_sends_everything_before_it_reads_sees_why_it_was_refused(echo_server: LiveServer) -> None:
    request = urllib.request.Request(
        f"{echo_server.url}/v1/chat/completions", data=bytes(60_000_000), headers={"content-type": JSON}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)

    assert refused.value.code == 413
    assert json.load(refused.value)["error"]["code"] == "request_too_large"
