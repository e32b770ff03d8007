"""Two servers behind the load balancer of `examples/scaling`, and two servers with one store of responses."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from websockets.sync.client import connect

from tests.live.client import PATIENCE, ask, chat, eventually
from tests.live.haproxy import INSTALL_SECONDS, Balancer, balancing, find_haproxy
from tests.live.harness import READY_SECONDS, STOP_SECONDS, LiveServer, start

pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 2 * READY_SECONDS)

DEBATES, TOGETHER, TURNS = 100, 16, 4
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Pair:
    """Two echo servers with one store of responses. Either may be restarted on its port."""

    def __init__(self, store: Path) -> None:
        self._options = ("--model-type", "echo", "--grace-period", "60", "--response-store", str(store))
        self.servers: dict[str, LiveServer] = {}

    def start(self, name: str) -> LiveServer:
        """Start a server, or start it again where it was."""
        before = self.servers.get(name)
        port = () if before is None else ("--port", before.url.rpartition(":")[2])
        self.servers[name] = start(*self._options, *port)
        return self.servers[name]

    def stop(self) -> None:
        assert [each.stop() for each in self.servers.values() if each.process.poll() is None] == [0, 0]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Generator[Pair]:
    pair = Pair(tmp_path_factory.mktemp("shared") / "responses.db")
    with ThreadPoolExecutor(2) as pool:  # together: both create the store
        list(pool.map(pair.start, ("a", "b")))
    yield pair
    pair.stop()
    for server in pair.servers.values():
        assert "Traceback" not in server.log.text


@pytest.fixture(scope="module")
def balancer(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Generator[Balancer]:
    haproxy = find_haproxy()
    if haproxy is None:
        pytest.skip("no haproxy: apt-get install haproxy")
    urls = [pair.servers[name].url for name in ("a", "b")]
    with ExitStack() as running:
        balancer = running.enter_context(balancing(haproxy, urls, tmp_path_factory.mktemp("balancer")))
        eventually(lambda: balancer.status("a") == "UP" and balancer.status("b") == "UP")
        yield balancer


def test_a_conversation_continues_on_another_server_with_the_same_store(pair: Pair) -> None:
    here, there = (pair.servers[name].url for name in ("a", "b"))

    first = ask(here, {"model": "echo", "input": "My name is Ada."}, path="/v1/responses").json()
    second = ask(
        there, {"model": "echo", "input": "And now?", "previous_response_id": first["id"]}, path="/v1/responses"
    ).json()

    assert second["previous_response_id"] == first["id"]
    assert ask(here, method="GET", path=f"/v1/responses/{second['id']}").json() == second
    items = ask(here, method="GET", path=f"/v1/responses/{second['id']}/input_items").json()["data"]
    assert "My name is Ada." in json.dumps(items)
    assert ask(there, method="DELETE", path=f"/v1/responses/{first['id']}").status_code == 200
    assert ask(here, method="GET", path=f"/v1/responses/{first['id']}").status_code == 404


def test_two_servers_write_to_one_store_together(pair: Pair) -> None:
    urls = [pair.servers[name].url for name in ("a", "b")]

    def conversation(number: int) -> list[int]:
        """Six turns, alternately on both servers."""
        statuses: list[int] = []
        previous: str | None = None
        for turn in range(6):
            body = {"model": "echo", "input": f"{number} {turn}", "previous_response_id": previous}
            answer = client.post(f"{urls[(number + turn) % 2]}/v1/responses", json=body)
            statuses.append(answer.status_code)
            previous = answer.json()["id"]
        return statuses

    with ThreadPoolExecutor(4) as pool, httpx.Client(timeout=PATIENCE) as client:
        assert list(pool.map(conversation, range(12))) == [[200] * 6] * 12


def test_headers_bodies_and_addresses_pass_through_the_balancer(balancer: Balancer, pair: Pair) -> None:
    words = "word " * 60_000  # 300 kB: more than the balancer holds
    headers = {"X-Request-ID": "mine-1", "traceparent": TRACE}

    answer = ask(balancer.url, chat(words, max_tokens=3), headers=headers)

    assert answer.status_code in (200, 400), answer.text
    assert answer.headers["x-request-id"] == "mine-1"
    served = pair.servers[answer.headers["x-served-by"]]
    finished = httpx.get(f"{served.url}/traces/data", timeout=PATIENCE).text
    assert TRACE.split("-")[1] in finished
    assert ask(balancer.url, chat("x")).headers["x-request-id"].startswith("req_")
    assert ask(balancer.url, method="GET", path="/metrics").status_code == 404
    assert "haproxy_server_status" in httpx.get(balancer.metrics_url, timeout=PATIENCE).text


@pytest.mark.parametrize(
    ("first", "later", "headers"),
    [
        ({}, {}, {"x-conversation-id": "c-{}"}),
        ({"prompt_cache_key": "k-{}"}, {"prompt_cache_key": "k-{}"}, {}),
        ({"system": "You debate {}."}, {"system": "You debate {}."}, {}),
        ({}, {}, {}),
    ],
    ids=["header", "prompt_cache_key", "system prompt", "first message"],
)
def test_the_balancer_recognises_a_conversation(
    balancer: Balancer, first: dict[str, str], later: dict[str, str], headers: dict[str, str]
) -> None:
    def served(number: int, fields: dict[str, str], messages: list[dict[str, Any]]) -> str:
        filled = {name: value.format(number) for name, value in fields.items()}
        if system := filled.pop("system", None):
            messages = [{"role": "system", "content": [{"type": "text", "text": system}]}, *messages]
        given = {name: value.format(number) for name, value in headers.items()}
        answer = ask(balancer.url, {"model": "echo", "messages": messages, **filled}, headers=given)
        assert answer.status_code == 200, answer.text
        name: str = answer.headers["x-served-by"]
        return name

    seen = set()
    for number in range(12):
        opening = {"role": "user", "content": "Begin." if first or headers else f"Begin {number}."}
        answered = [opening, {"role": "assistant", "content": f"{number}"}, {"role": "user", "content": "Go on."}]
        home = served(number, first, [opening])
        assert served(number, later, answered) == home
        seen.add(home)
    assert seen == {"a", "b"}


def test_a_realtime_session_is_resumed_on_its_server(balancer: Balancer) -> None:
    address = f"{balancer.url.replace('http', 'ws')}/v1/realtime?model=echo"

    def session(query: str) -> str:
        with connect(f"{address}&{query}", open_timeout=PATIENCE) as socket:
            created = json.loads(socket.recv(timeout=PATIENCE))
        assert created["type"] == "session.created", created
        identifier: str = created["session"]["id"]
        return identifier

    for number in range(6):
        begun = session(f"conversation={number}")
        assert session(f"conversation={number}&session_id={begun}") == begun


@attrs.define
class Turn:
    """One turn of a debater, as its client saw it."""

    debater: str
    number: int
    status: int | str
    complete: bool
    server: str
    alive: bool
    """Whether both servers were up for the whole of the turn."""


@attrs.define
class Debates:
    """A hundred debates of two debaters; `back` opens their last two turns."""

    url: str
    back: asyncio.Event = attrs.field(factory=asyncio.Event)
    restarts: bool = False
    turns: list[Turn] = attrs.field(factory=list)

    async def run(self) -> None:
        gate = asyncio.Semaphore(TOGETHER)
        async with httpx.AsyncClient(timeout=2 * PATIENCE) as client:
            for half in (range(TURNS // 2), range(TURNS // 2, TURNS)):
                if half.start:
                    await self.back.wait()
                await asyncio.gather(*(self._debate(client, gate, number, half) for number in range(DEBATES)))

    async def _debate(self, client: httpx.AsyncClient, gate: asyncio.Semaphore, number: int, turns: range) -> None:
        async with gate:
            for turn in turns:
                for persona in ("for", "against"):
                    self.turns.append(await self._turn(client, f"{number} {persona}", turn))

    async def _turn(self, client: httpx.AsyncClient, debater: str, turn: int) -> Turn:
        history = [{"role": "user", "content": "Open the debate."}]
        for before in range(turn):
            history += [{"role": "assistant", "content": f"I said {before}."}, {"role": "user", "content": "And?"}]
        system = {"role": "system", "content": f"You are debater {debater}."}
        streamed = turn % 2 == 0
        body = {"model": "echo", "messages": [system, *history], "stream": streamed}
        alive = not self.restarts
        try:
            answer = await client.post(f"{self.url}/v1/chat/completions", json=body)
        except httpx.HTTPError as error:
            return Turn(debater, turn, repr(error), False, "", False)
        complete = answer.text.rstrip().endswith("data: [DONE]") if streamed else "choices" in answer.json()
        server = answer.headers.get("x-served-by", "")
        return Turn(debater, turn, answer.status_code, complete, server, alive and not self.restarts)


def test_a_restarted_server_loses_no_request_and_conversations_keep_their_server(
    balancer: Balancer, pair: Pair
) -> None:
    debates = asyncio.run(_with_a_restart(balancer, pair))

    assert [turn for turn in debates.turns if turn.status != 200 or not turn.complete] == []
    assert len(debates.turns) == DEBATES * 2 * TURNS
    home = {turn.debater: turn.server for turn in debates.turns if turn.number == TURNS - 1}
    lived = [turn for turn in debates.turns if turn.alive or home[turn.debater] == "b"]
    kept = [turn for turn in lived if turn.server == home[turn.debater]]
    assert set(home.values()) == {"a", "b"}
    assert len(kept) >= 0.95 * len(lived), f"{len(kept)} of {len(lived)}\n{balancer.log.read_text()[-4000:]}"


async def _with_a_restart(balancer: Balancer, pair: Pair) -> Debates:
    """Hold the debates, and end server `a` within them by SIGTERM, while it streams an answer. Then start it again."""
    debates = Debates(balancer.url)
    held = asyncio.create_task(debates.run())
    while len(debates.turns) < DEBATES:
        assert not held.done()
        await asyncio.sleep(0.01)
    debates.restarts = True
    await asyncio.to_thread(_end_while_it_streams, balancer, pair.servers["a"])
    await asyncio.to_thread(pair.start, "a")
    await asyncio.to_thread(eventually, lambda: balancer.status("a") == "UP")
    debates.restarts = False
    debates.back.set()
    await held
    return debates


def _end_while_it_streams(balancer: Balancer, server: LiveServer) -> None:
    """End the server by SIGTERM after the first piece of an answer. The rest of it comes while the server drains."""
    number = 0
    while ask(balancer.url, chat("x"), headers={"x-conversation-id": f"long {number}"}).headers["x-served-by"] != "a":
        number += 1
    body = chat("word " * 100, stream=True, chat_template_kwargs={"echo_delay": 0.02})
    headers = {"x-conversation-id": f"long {number}"}
    with httpx.stream("POST", f"{balancer.url}/v1/chat/completions", json=body, headers=headers, timeout=60) as answer:
        assert answer.headers["x-served-by"] == "a"
        lines = answer.iter_lines()
        assert "chat.completion.chunk" in next(lines)  # the balancer passes on what it has
        server.process.send_signal(signal.SIGTERM)
        *_, last = (line for line in lines if line)
        assert last == "data: [DONE]"
    eventually(lambda: balancer.status("a").startswith("DOWN"))
    assert server.process.wait(STOP_SECONDS) == 0, server.log.text
