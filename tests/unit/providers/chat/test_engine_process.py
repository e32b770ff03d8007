"""The engine process of a chat provider: its loading, its death, its restart and its end."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from otel.testing import capture_spans
from providers.chat.types import Accepted, Finished, TextDelta, TextPrompt
from providers.engine_host.host import EngineHost
from providers.engine_host.restart import RestartPolicy
from providers.engine_host.watchdog import Watchdog
from providers.errors import (
    EngineCrashed,
    ModelNotReady,
)
from providers.spec import ModelSpec
from tests.unit.providers.chat.chats import (
    PATIENCE,
    QUICK,
    alive,
    answer,
    ask,
    ready,
    starts,
    status,
    text,
    until,
)

# The engine's death


async def test_the_engine_s_death_fails_its_answers_immediately_and_the_next_one_succeeds(serve):
    provider = await ready(await serve())
    stream = provider.generate(ask("hold"))
    assert [await anext(stream), await anext(stream)] == [Accepted(3, 0), TextDelta("held")]
    first = provider.host.pid
    os.kill(first, signal.SIGKILL)
    with pytest.raises(EngineCrashed):
        await asyncio.wait_for(anext(stream), PATIENCE)
    with pytest.raises(ModelNotReady) as caught:
        await answer(provider, "say too early")
    assert caught.value.retry_after >= 1
    await ready(provider)
    assert await text(provider, "say again") == "again"
    assert provider.host.pid != first
    assert (provider.queue_stats.active, provider.queue_stats.failed) == (0, 1)


async def test_text_from_before_the_death_is_still_delivered(serve):
    provider = await ready(await serve())
    stream = provider.generate(ask("crash"))
    assert [await anext(stream), await anext(stream)] == [Accepted(3, 0), TextDelta("last words")]
    with pytest.raises(EngineCrashed):
        await anext(stream)


@pytest.mark.parametrize("order", ["garbage", "oversize"])
async def test_an_engine_that_breaks_the_protocol_is_replaced(serve, order: str):
    provider = await ready(await serve())
    with pytest.raises(EngineCrashed):
        await answer(provider, order)
    await ready(provider)
    assert await text(provider, "say sane") == "sane"
    assert len(starts(provider)) == 2


async def test_requests_that_kill_the_engine_never_take_the_model_away_for_good(serve):
    provider = await serve()
    for _ in range(QUICK.attempts + 2):
        await ready(provider)
        with pytest.raises(EngineCrashed):
            await answer(provider, "crash")
    await ready(provider)


async def test_requests_that_wait_when_the_engine_dies_get_an_error(serve):
    provider = await ready(await serve(max_concurrency=1))
    running = asyncio.create_task(answer(provider, "hold"))
    waiting = [asyncio.create_task(answer(provider, "say x")) for _ in range(5)]
    await until(lambda: provider.queue_stats.pending == 5)
    os.kill(provider.host.pid, signal.SIGKILL)
    ends = await asyncio.gather(running, *waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [EngineCrashed] + [ModelNotReady] * 5
    assert (provider.queue_stats.active, provider.queue_stats.pending) == (0, 0)


async def test_a_stopped_engine_is_killed_and_everything_in_it_is_answered(serve):
    provider = await ready(
        await serve(max_concurrency=4, watchdog=lambda timeout: Watchdog(timeout, interval=0.01), watchdog_timeout=0.3)
    )
    streams = [asyncio.create_task(answer(provider, "hold")) for _ in range(3)]
    streams.append(asyncio.create_task(answer(provider, "stop")))
    waiting = [asyncio.create_task(answer(provider, "say x")) for _ in range(2)]
    await until(lambda: (provider.queue_stats.active, provider.queue_stats.pending) == (4, 2))
    question = asyncio.create_task(provider.tokenize(TextPrompt("hold")))
    ends = await asyncio.wait_for(asyncio.gather(*streams, question, *waiting, return_exceptions=True), PATIENCE)
    assert [type(end) for end in ends] == [EngineCrashed] * 5 + [ModelNotReady] * 2
    assert all(end.retry_after for end in ends)
    await ready(provider)
    assert await text(provider, "say again") == "again"
    assert "no sign of life" in provider.host.last_death
    assert "signal 9" in provider.host.last_death


# Loading


async def test_while_loading_requests_are_refused_with_retry_after(serve):
    provider = await serve("hang")
    await status(provider, "loading", "reading weights (50%)")
    with pytest.raises(ModelNotReady, match=r"loading: reading weights \(50%\)") as caught:
        await answer(provider, "say x")
    assert caught.value.retry_after >= 1
    assert provider.queue_stats.rejected == 1


async def test_a_model_that_cannot_be_loaded_fails_once_with_the_engine_s_words(serve):
    provider = await serve("broken")
    with pytest.raises(ModelNotReady, match="no such folder"):
        await asyncio.wait_for(provider.wait_ready(), PATIENCE)
    assert (provider.card.status, provider.card.detail) == ("failed", "no such folder")
    with pytest.raises(ModelNotReady) as caught:
        await answer(provider, "say x")
    assert caught.value.retry_after is None
    await until(lambda: "engine fake" not in {task.get_name() for task in asyncio.all_tasks()})
    assert len(starts(provider)) == 1


async def test_a_model_that_was_ready_once_is_loaded_again_for_ever(serve):
    provider = await ready(await serve("broken_later"))
    with pytest.raises(EngineCrashed):
        await answer(provider, "crash")
    await status(provider, "restarting", "the model cannot be loaded: no such folder")
    with pytest.raises(ModelNotReady, match="restarting: the model cannot be loaded: no such folder") as caught:
        await answer(provider, "say x")
    assert caught.value.retry_after >= 1
    await ready(provider)
    assert len(starts(provider)) == 10
    assert await text(provider, "say back") == "back"


async def test_a_load_that_the_machine_was_too_small_for_is_tried_again(serve):
    provider = await ready(await serve("short_twice"))
    assert await text(provider, "say up") == "up"
    assert len(starts(provider)) == 3


async def test_a_machine_that_stays_too_small_is_given_up(serve):
    provider = await serve("short")
    with pytest.raises(ModelNotReady, match=r"died 3 times before it was ready: .* cannot be loaded: no memory"):
        await asyncio.wait_for(provider.wait_ready(), PATIENCE)
    assert len(starts(provider)) == QUICK.attempts


async def test_an_engine_that_dies_while_loading_is_tried_again(serve):
    provider = await ready(await serve("die_twice"))
    assert await text(provider, "say up") == "up"
    assert len(starts(provider)) == 3


async def test_an_engine_that_only_dies_is_given_up(serve):
    provider = await serve("die")
    with pytest.raises(ModelNotReady, match=r"died 3 times before it was ready.*exit status 3"):
        await asyncio.wait_for(provider.wait_ready(), PATIENCE)
    assert provider.card.status == "failed"
    assert len(starts(provider)) == QUICK.attempts


async def test_restarts_wait_longer_each_time(serve):
    started = asyncio.get_running_loop().time()
    provider = await serve("die", restart=RestartPolicy(first_delay=0.1, attempts=3))
    with pytest.raises(ModelNotReady):
        await asyncio.wait_for(provider.wait_ready(), PATIENCE)
    assert asyncio.get_running_loop().time() - started >= 0.1 + 0.2


async def test_a_command_that_cannot_be_run_is_given_up(tmp_path: Path):
    spec = ModelSpec(name="none", path="{}")
    host = EngineHost(spec, command=(str(tmp_path / "no-such-program"),), restart=QUICK)
    host.start()
    with pytest.raises(ModelNotReady, match="cannot be started"):
        await asyncio.wait_for(host.wait_ready(), PATIENCE)
    await host.stop()


# Stopping


async def test_stop_ends_answers_and_the_process(serve):
    provider = await ready(await serve())
    stream = provider.generate(ask("hold"))
    await anext(stream)
    await anext(stream)
    pid = provider.host.pid
    await asyncio.gather(provider.stop(), provider.stop())
    assert not alive(pid)
    with pytest.raises(ModelNotReady):
        await anext(stream)
    with pytest.raises(ModelNotReady):
        await answer(provider, "say late")
    await provider.stop()
    assert provider.card.status == "stopped"


async def test_an_engine_ends_by_itself_when_its_socket_closes(serve, tmp_path: Path):
    provider = await ready(await serve(grace=PATIENCE))
    await asyncio.wait_for(provider.stop(), PATIENCE / 2)
    assert (tmp_path / "starts.ended").read_text() == "by itself"


async def test_ctrl_c_in_the_terminal_does_not_reach_the_engine(serve):
    provider = await ready(await serve())
    assert os.getpgid(provider.host.pid) != os.getpgid(0)


async def test_stop_in_the_first_moment_of_loading_leaves_no_process(serve):
    for _ in range(5):
        provider = await serve("hang")
        await asyncio.wait_for(provider.stop(), PATIENCE)
        assert not [pid for pid in starts(provider) if alive(pid)]


async def test_stop_while_loading_wakes_callers_that_wait_for_ready(serve):
    provider = await serve("hang")
    waiting = asyncio.create_task(provider.wait_ready())
    await status(provider, "loading", "reading")
    await provider.stop()
    with pytest.raises(ModelNotReady):
        await asyncio.wait_for(waiting, PATIENCE)


async def test_stop_does_not_wait_for_an_engine_that_is_loading(serve):
    provider = await serve("asleep", grace=PATIENCE)
    await status(provider, "loading", "not listening")
    await asyncio.wait_for(provider.stop(), PATIENCE / 2)


async def test_stop_between_two_starts_starts_no_more(serve):
    provider = await serve("die", restart=RestartPolicy(first_delay=60))
    await status(provider, "restarting", "exit status 3")
    await asyncio.wait_for(provider.stop(), PATIENCE)
    assert len(starts(provider)) == 1


async def test_an_engine_that_ignores_its_socket_and_sigterm_is_killed(serve):
    provider = await serve("stubborn", grace=0.1)
    await status(provider, "loading", "not listening")
    (pid,) = starts(provider)
    await asyncio.wait_for(provider.stop(), PATIENCE)
    assert not alive(pid)


async def test_an_engine_that_never_reads_cannot_hold_up_stop(serve):
    provider = await ready(await serve(grace=0.1))
    readers = [asyncio.create_task(answer(provider, "deaf" + " x" * 1_000_000)) for _ in range(4)]
    await until(lambda: provider.queue_stats.active == 4)
    await asyncio.wait_for(provider.stop(), PATIENCE)
    ends = await asyncio.gather(*readers, return_exceptions=True)
    assert {type(end) for end in ends} == {ModelNotReady}


async def test_drain_lets_an_answer_end_and_admits_no_more(serve):
    provider = await ready(await serve())
    stream = provider.generate(ask("say a b c"))
    await anext(stream)
    provider.begin_drain()
    with pytest.raises(ModelNotReady):
        await answer(provider, "say late")
    assert isinstance([event async for event in stream][-1], Finished)


# Loaded on first use


async def test_a_lazy_engine_is_started_by_its_first_request_which_waits(serve):
    provider = await ready(await serve(lazy=True))
    assert (provider.card.status, starts(provider)) == ("unloaded", [])
    said = await asyncio.gather(text(provider, "say one"), text(provider, "say two"))
    assert said == ["one", "two"]
    assert (provider.card.status, len(starts(provider))) == ("ready", 1)


async def test_a_question_starts_a_lazy_engine_too(serve):
    provider = await serve(lazy=True)
    async with asyncio.timeout(PATIENCE):
        assert await provider.tokenize(TextPrompt("hi")) == [104, 105]


async def test_a_request_that_leaves_while_a_lazy_engine_loads_gives_its_place_back(serve):
    provider = await serve("hang", lazy=True, max_concurrency=1)
    leaving = asyncio.create_task(answer(provider, "say x"))
    await status(provider, "loading", "reading")
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert (provider.queue_stats.active, provider.queue_stats.cancelled) == (0, 1)


async def test_a_lazy_engine_that_loads_too_long_is_not_waited_for(serve):
    provider = await serve("hang", lazy=True, queue_timeout=0.05)
    with pytest.raises(ModelNotReady, match="still loading"):
        await answer(provider, "say x")
    assert provider.queue_stats.active == 0


async def test_what_a_lazy_engine_could_not_load_is_tried_again_by_the_next_request(serve):
    provider = await serve("broken_once", lazy=True)
    with pytest.raises(ModelNotReady, match="no such folder"):
        await answer(provider, "say x")
    assert provider.card.status == "failed"
    assert await text(provider, "say x") == "x"
    assert len(starts(provider)) == 2


async def test_the_wait_for_a_lazy_engine_is_a_span_of_its_own(serve):
    provider = await serve(lazy=True)
    with capture_spans() as spans:
        await text(provider, "say x")
        await text(provider, "say y")
    assert spans.names().count("load fake") == 1


# More than one process


async def test_one_engine_s_death_is_seen_by_its_own_socket_and_harms_no_other(serve):
    first, second = await serve(restart=RestartPolicy(first_delay=60)), await serve()
    await asyncio.gather(ready(first), ready(second))
    dying, living = first.generate(ask("hold")), second.generate(ask("hold"))
    for stream in (dying, living):
        assert [await anext(stream), await anext(stream)] == [Accepted(3, 0), TextDelta("held")]
    os.kill(first.host.pid, signal.SIGKILL)
    with pytest.raises(EngineCrashed):
        await asyncio.wait_for(anext(dying), PATIENCE)
    # Had the other engine inherited its socket, the socket would not have ended with the process.
    await status(first, "restarting", "its socket ended")
    await living.aclose()
    assert (await text(second, "cancelled?")).startswith("r")


async def test_no_engine_outlives_a_server_that_is_killed(tmp_path: Path):
    script = Path(__file__).with_name("serve_and_wait.py")
    how = json.dumps({"mode": "ready", "starts": str(tmp_path / "starts")})
    server = await asyncio.create_subprocess_exec(sys.executable, str(script), how, stdout=asyncio.subprocess.PIPE)
    try:
        engines: list[int] = []
        while not engines:
            line = await asyncio.wait_for(server.stdout.readline(), PATIENCE)
            assert line, "the server ended early"
            if line.startswith(b"engines"):
                engines = [int(pid) for pid in line.split()[1:]]
    finally:
        server.kill()
        await server.wait()
    await until(lambda: not any(alive(pid) for pid in engines))
