"""What rank 0 decides and orders reaches the other ranks, in its order."""

from __future__ import annotations

import math
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec
import pytest

from providers.chat.types import ChatMessage, ChatPrompt, GenerationRequest, SamplingParams, TextPrompt
from providers.engine_host.frames import Generate
from providers.engines.group import orders
from providers.engines.group.following import obey
from providers.engines.group.joining import Follower, Leader
from providers.engines.group.ranks import ALONE
from providers.engines.language.job import LanguageJob
from providers.errors import InternalError, OutOfMemory
from providers.spec import ModelSpec

SPEC = ModelSpec(name="m", path="/models/m", tensor_parallel=2)


class World:
    """What the ranks read of MLX's group."""

    def __init__(self, rank: int) -> None:
        self._rank = rank

    def rank(self) -> int:
        return self._rank

    def size(self) -> int:
        return 2


class Ended(Exception):
    """A rank would have ended its process."""


def end(status: int, why: str) -> None:
    """Fail the call of the test. The threads that watch the sockets end by themselves."""
    if threading.current_thread() is threading.main_thread():
        raise Ended(status, why)


@pytest.fixture
def pair() -> Iterator[tuple[Leader, Follower]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Leader(World(0), [ours], end=end), Follower(World(1), theirs, end=end)
        ours.shutdown(socket.SHUT_RDWR)


def test_a_single_process_agrees_with_itself() -> None:
    assert (ALONE.size, ALONE.leads, ALONE.share) == (1, True, None)
    assert ALONE.agree(3) == 3
    ALONE.check(InternalError.unforeseen())


def test_rank_0_decides(pair: tuple[Leader, Follower]) -> None:
    leader, follower = pair
    values: list[Any] = [1, -2.5, math.inf, "ended", None, ["a", "b"]]
    assert [leader.agree(value) for value in values] == values
    assert [follower.agree("its own") for _ in values] == values


@pytest.mark.parametrize("votes", [(True, True), (True, False), (False, True), (False, False)])
def test_something_is_true_if_it_is_on_every_rank(pair: tuple[Leader, Follower], votes: tuple[bool, bool]) -> None:
    leader, follower = pair
    assert [ALONE.every(vote) for vote in votes] == list(votes)
    with ThreadPoolExecutor(1) as other:
        heard = other.submit(follower.every, votes[1])
        assert leader.every(votes[0]) is all(votes)
        assert heard.result() is all(votes)


def test_orders_keep_their_place_among_decisions(pair: tuple[Leader, Follower]) -> None:
    leader, follower = pair
    leader.load(SPEC)
    leader.submit(Packed({"id": "a", "tokens": [1, 2]}))
    leader.step()
    with leader.together():
        leader.agree("first")
        leader.agree("second")
    leader.cancel("a")
    leader.tidy()

    assert follower.next_load() == SPEC
    assert follower.next_order() == orders.Submit({"id": "a", "tokens": [1, 2]})
    assert follower.next_order() == orders.Step()
    assert [follower.agree(""), follower.agree("")] == ["first", "second"]
    assert [follower.next_order(), follower.next_order()] == [orders.Cancel("a"), orders.Tidy()]


def test_what_is_decided_together_is_one_piece() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        leader = Leader(World(0), [ours], end=end)
        with leader.together():
            for number in range(3):
                leader.agree(number)
        lengths, data = [], theirs.recv(4096)
        while data:
            (length,) = struct.unpack("<I", data[:4])
            lengths.append(length)
            data = data[4 + length :]
        assert len(lengths) == 3


def test_a_rank_that_waits_for_another_value_than_it_gets_ends(pair: tuple[Leader, Follower]) -> None:
    leader, follower = pair
    leader.step()
    with pytest.raises(Ended, match="waits for a value"):
        follower.agree(1)


def test_an_error_that_other_ranks_may_not_have_ends_the_rank(
    pair: tuple[Leader, Follower], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.engines.group.joining._REPORT_SECONDS", 0.0)
    for rank in pair:
        rank.check(OutOfMemory("agreed", retry_after=1.0))
        with pytest.raises(Ended):
            rank.check(RuntimeError("here"))


def test_only_the_tokens_of_rank_0_count(pair: tuple[Leader, Follower], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx.distributed, "all_sum", lambda tokens, group: tokens)
    leader, follower = pair
    drawn = mx.array([7, 9], dtype=mx.uint32)
    assert leader.share(drawn).tolist() == [7, 9]
    assert follower.share(drawn).tolist() == [0, 0]


class Packed:
    """A job that packs itself as these fields."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    def packed(self) -> dict[str, Any]:
        return self.fields


def test_another_rank_gets_what_a_job_computes_and_not_how_it_draws(tiny_folder: Path) -> None:
    engine = _loaded(tiny_folder)
    prompt = ChatPrompt(messages=[ChatMessage(role="user", content="hello world")])
    request = GenerationRequest(
        id="a#1", prompt=prompt, n=2, max_tokens=9, timeout=5.0, sampling=SamplingParams(seed=3), stop=["x"]
    )
    job = engine.prepare(Generate(request))
    other: LanguageJob = engine.unpacked(msgspec.msgpack.decode(msgspec.msgpack.encode(job.packed())))

    assert [other.id, other.tokens, other.n, other.max_tokens] == ["a#1", job.tokens, 2, 9]
    assert [other.boundaries, other.system_end, other.cache_salt] == [job.boundaries, job.system_end, job.cache_salt]
    assert other.settings.greedy
    assert (other.stop, other.grammar, other.top_logprobs) == ((), None, None)
    assert other.deadline == math.inf
    assert engine.unpacked({**job.packed(), "expires": False}).deadline is None


def test_a_follower_does_what_rank_0_ordered(tiny_folder: Path) -> None:
    engine = _loaded(tiny_folder)
    job = engine.prepare(Generate(GenerationRequest(id="a", prompt=TextPrompt("hello"), max_tokens=3)))

    obey(engine, orders.Submit(job.packed()))
    assert engine.busy
    obey(engine, orders.Step())
    obey(engine, orders.Cancel("a"))
    obey(engine, orders.Tidy())
    assert not engine.busy
    with pytest.raises(RuntimeError, match="does not wait"):
        obey(engine, orders.Value(1))


RANK = """
import logging
import socket

from providers.engine_host.frames import Load, encode
from providers.engines.group import joining, orders
from providers.engines.group.following import follow
from tests.unit.providers.engines.group.test_ranks import SPEC, World

logging.basicConfig()
rank_0, ours = socket.socketpair()


class Engine:
    def load(self, spec, progress):
        pass

    def step(self, out):
        {ending}
        error = RuntimeError("a collective failed")
        {raised}


rank_0.sendall(encode(Load(SPEC)) + orders.frame(orders.Step()))
joining._REPORT_SECONDS = {seconds}
follower = joining.Follower(World(1), ours)
follow(follower, lambda spec: Engine())
"""


@pytest.mark.parametrize("raised", ["raise error", "follower.check(error)"])
@pytest.mark.parametrize(
    ("ending", "seconds", "status", "reported"), [("rank_0.close()", 60, 0, False), ("pass", 0, 1, True)]
)
def test_a_step_that_fails_since_rank_0_has_ended_is_no_failure(
    ending: str, seconds: int, status: int, reported: bool, raised: str
) -> None:
    script = RANK.format(ending=ending, seconds=seconds, raised=raised)
    ran = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert ran.returncode == status, ran.stderr
    assert ("a collective failed" in ran.stderr) is reported


def _loaded(folder: Path) -> Any:
    from providers.engines.language.engine import LanguageEngine
    from providers.engines.process.platform import Platform

    engine = LanguageEngine(Platform(device="cpu", blas="-", threads=1))
    engine.load(ModelSpec(name="tiny", path=str(folder), warmup=False), lambda stage, fraction: None)
    return engine
