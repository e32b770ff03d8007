"""Requests that could keep all others waiting, each with health requests beside it.

A client measures how long `/v1/health/live` takes meanwhile. Before each fault was removed, the answer came only after
the fault: it took as long as the fault itself. A busy machine lengthens both, so the bound grows with the fault's time
and with that of health before it, and the best of three tries counts.
"""

from __future__ import annotations

import json
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest

from tests.live.client import PATIENCE, chat, eventually
from tests.live.harness import LiveServer

FLOOR, SHARE, QUIET = 0.05, 0.4, 4
"""What a health request may take: seconds, a share of the fault's time, and a multiple of what health took before."""
TRIES = 3
SOME = 9
"""Health requests before the fault."""
JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=b"}
CHAT, FORMS = "/v1/chat/completions", "/v1/audio/transcriptions"


@attrs.frozen
class Fault:
    path: str
    body: bytes
    headers: dict[str, str] = attrs.field(factory=lambda: JSON)
    statuses: tuple[int, ...] = (400,)
    share: float = SHARE


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def form(*parts: tuple[str, bytes]) -> bytes:
    """A form of parts, each the end of its `Content-Disposition` and its value."""
    return b"".join(
        b"--b\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + value + b"\r\n"
        for head, value in parts
    ) + b"--b--\r\n"  # fmt: skip


FILE = 'name="file"; filename="a.wav"'
MESSAGE = {"role": "user", "content": "x"}
TOOL = {"name": "f", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}
HI = chat("Hello")


def calls(count: int) -> list[dict[str, Any]]:
    made = [{"function": {"name": f"f{index}", "arguments": "{}"}} for index in range(count)]
    results = [{"role": "tool", "name": f"f{index}", "content": "x"} for index in range(count)]
    return [MESSAGE, {"role": "assistant", "tool_calls": made}, *results]


def punycode() -> Fault:
    part = 'name="prompt"\r\nContent-Type: text/plain; charset=punycode'
    return Fault(FORMS, form((part, b"a" * 200_000 + b"-b9"), (FILE, b"x")), FORM)


def many_parts() -> Fault:
    return Fault(FORMS, form(*((f'name="p{index}"', b"x") for index in range(100_000))), FORM)


def upload() -> Fault:
    return Fault(FORMS, form((FILE, b"\r\n--" * 15_000_000)), FORM, (404,))  # 60 MB that look like boundaries


def baggage() -> Fault:
    pairs = ",".join(f"k{index}=v" for index in range(1_300))
    return Fault(CHAT, body(**HI), {**JSON, "baggage": pairs}, (200,))


def trace_state() -> Fault:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    pairs = ",".join(f"k{index}=v" for index in range(1_300))
    return Fault(CHAT, body(**HI), {**JSON, "traceparent": parent, "tracestate": pairs}, (200,))


def detokenize() -> Fault:
    return Fault("/v1/detokenize", b'{"tokens":[' + b"15," * 4_999_999 + b"15]}")


def nesting() -> Fault:
    return Fault(CHAT, b'{"messages":' + b"[" * 5_000_000)


def unknown_fields() -> Fault:
    return Fault(CHAT, body(**HI, **{f"k{index}": 1 for index in range(200_000)}), statuses=(200,))


def million_fields() -> Fault:
    return Fault(CHAT, body(**HI, **{f"k{index}": 1 for index in range(2_000_000)}))


def million_messages() -> Fault:
    return Fault(CHAT, body(messages=[MESSAGE] * 900_000))


def metadata() -> Fault:
    return Fault(CHAT, body(**HI, metadata={f"k{index}": 1 for index in range(200_000)}), statuses=(200,))


def many_messages() -> Fault:
    return Fault(CHAT, body(messages=[MESSAGE] * 100_000))


def many_calls() -> Fault:
    return Fault(CHAT, body(messages=calls(5_000)), statuses=(200,))


def many_stops() -> Fault:
    return Fault(CHAT, body(**HI, stop=[f"stop {index}" for index in range(10_000)]))


def many_tools() -> Fault:
    return Fault(
        CHAT, body(**HI, tools=[{"function": {**TOOL, "name": f"f{index}"}} for index in range(1_000)]), statuses=(200,)
    )


def token_ids() -> Fault:
    """The decoder holds the interpreter's lock for most of the time."""
    return Fault("/v1/completions", body(prompt=[5] * 1_000_000, max_tokens=1), statuses=(200, 400), share=0.8)


def compressed() -> Fault:
    return Fault(CHAT, bytes(30_000_000), {**JSON, "content-encoding": "gzip"}, (415,))


def long_path() -> Fault:
    return Fault("/v1" * 20_000, b"", statuses=(404,))


def long_query() -> Fault:
    return Fault("/v1/models?" + "&".join(f"a{index}=b" for index in range(7_000)), body(), statuses=(405,))


def long_content_type() -> Fault:
    return Fault(CHAT, body(**HI), {"content-type": "application/json" + "; a=b" * 12_000}, (200,))


FAULTS = [
    *(punycode, many_parts, upload, baggage, trace_state, detokenize, nesting, unknown_fields, metadata),
    *(
        million_fields,
        million_messages,
        many_messages,
        many_calls,
        many_stops,
        many_tools,
        token_ids,
        compressed,
        long_path,
        long_query,
    ),
    long_content_type,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_server_answers_others_meanwhile(echo_server: LiveServer, fault: Callable[[], Fault]) -> None:
    assert_responsive(echo_server, fault())


def test_blanks_to_speak_are_no_work(server: LiveServer) -> None:
    def spoken(text: str) -> Fault:
        return Fault("/v1/audio/speech", body(input=text, response_format="wav"), statuses=(200,))

    exchange(server, spoken("a b"))  # loads the model
    assert_responsive(server, spoken("a" + " " * 16_000 + "b"))


@pytest.mark.parametrize("count", [262_144, 5_000_000])
def test_the_engine_outlives_a_list_of_token_ids(server: LiveServer, count: int) -> None:
    ids = Fault("/v1/detokenize", b'{"tokens":[' + b"15," * (count - 1) + b"15]}", statuses=(200, 400))

    assert_responsive(server, ids)
    exchange(server, Fault("/v1/detokenize", body(tokens=[504]), statuses=(200,)))


@pytest.mark.parametrize(
    "texts",
    ["word " * 1_000_000, ["word " * 200] * 2_047 + ["word " * 500]],
    ids=["five megabytes", "two thousand chunks"],
)
def test_texts_to_embed_are_counted_by_the_engine(server: LiveServer, texts: Any) -> None:
    exchange(server, Fault("/v1/embeddings", body(model="any", input="x"), statuses=(200,)))  # loads the model

    assert_responsive(server, Fault("/v1/embeddings", body(model="any", input=texts)))


def assert_responsive(server: LiveServer, fault: Fault) -> None:
    tries = []
    for _ in range(TRIES):
        with health(server) as latencies:
            quiet = statistics.median(latencies)
            latencies.clear()
            took = exchange(server, fault)
            eventually(lambda: bool(latencies))  # at least the one that was under way
        bound = FLOOR + fault.share * took + QUIET * quiet
        tries.append((at_any_moment(latencies), bound, quiet, took))
        if tries[-1][0] < bound:
            return
    pytest.fail(f"seconds of health beside the fault, its bound, health before, the fault: {tries}")


def at_any_moment(latencies: list[float]) -> float:
    """Mean of the seconds, each weighted by itself: one of a second outweighs a hundred of a millisecond."""
    return sum(seconds**2 for seconds in latencies) / sum(latencies)


@contextmanager
def health(server: LiveServer) -> Iterator[list[float]]:
    """Ask for the server's health all the time. Yields the seconds of each response, of which there are some."""
    latencies: list[float] = []
    ended = threading.Event()
    ready = threading.Event()

    def ask() -> None:
        with connect(server) as connected:
            while not ended.is_set():
                begun = time.monotonic()
                connected.sendall(b"GET /v1/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
                while not connected.recv(65_536).endswith(b"}"):
                    pass
                latencies.append(time.monotonic() - begun)
                if len(latencies) == SOME:
                    ready.set()
                ended.wait(0.005)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield latencies
    finally:
        ended.set()
        thread.join()


def exchange(server: LiveServer, fault: Fault) -> float:
    """Send the fault and read its response. Returns the seconds that this took."""
    headers = {"host": "localhost", "connection": "close", "content-length": str(len(fault.body)), **fault.headers}
    head = f"POST {fault.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with connect(server) as connected:
        begun = time.monotonic()
        connected.sendall(head.encode() + b"\r\n" + fault.body)
        answer = connected.recv(65_536)
        while connected.recv(1_000_000):
            pass
        took = time.monotonic() - begun
    assert int(answer.split(b" ", 2)[1]) in fault.statuses, answer.decode(errors="replace")[:2_000]
    return took


def connect(server: LiveServer) -> socket.socket:
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=110)
