"""The engine process around any engine: it ends with its socket, and no request can end it."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from providers.chat.types import TextPrompt
from providers.engine_host.frames import STACK_SIGNAL, Beat, Failed, LoadFailed, Tokenize
from providers.engine_host.host import ENGINE_COMMAND
from tests.unit.providers.engines.client import SECONDS, Answer, EngineClient

Start = Callable[..., EngineClient]
FAKE = ("-m", "tests.unit.providers.engines.fake_engine")


@pytest.fixture
def fake(start: Start) -> EngineClient:
    client = start(*FAKE)
    client.load("anything")
    return client


def test_the_process_ends_when_the_socket_closes(fake: EngineClient) -> None:
    fake.close()
    assert fake.process.returncode == 0


def test_the_process_ends_when_the_socket_closes_in_the_middle_of_a_step(fake: EngineClient) -> None:
    fake.generate("a", "block")
    fake.close()
    assert fake.process.returncode == 0


def test_the_process_ends_when_the_socket_closes_while_the_writer_is_stuck(fake: EngineClient) -> None:
    # Far more than a socket buffer holds, and no client reads.
    fake.generate("a", "x" * 65536, max_tokens=10_000)
    fake.close()
    assert fake.process.returncode == 0


def test_the_process_ends_when_nothing_was_ever_loaded(start: Start) -> None:
    client = start(*FAKE)
    client.close()
    assert client.process.returncode == 0


def test_a_terminal_interrupt_does_not_reach_the_engine(start: Start, tiny_folder: object) -> None:
    client = start()
    client.load(str(tiny_folder))
    client.process.send_signal(signal.SIGINT)
    assert client.ask("a", "hello", max_tokens=2).finished is not None


def test_a_reader_that_stalls_gets_every_delta_in_order(fake: EngineClient) -> None:
    slow = fake.generate("slow", "x" * 4096, max_tokens=2000)
    quick = fake.generate("quick", "y", max_tokens=3)
    fake.wait(slow, quick)
    assert slow.text == "x" * 4096 * 2000
    assert quick.text == "yyy"


def test_one_step_of_many_requests_is_one_frame(fake: EngineClient) -> None:
    blocker = fake.generate("0", "x" * 65536, max_tokens=600)
    others = [fake.generate(str(number), "y", max_tokens=600) for number in range(1, 8)]
    fake.wait(blocker, *others)
    # Arrivals and ends may be spread over a few steps; eight frames a step would be 4,800.
    assert fake.frames < 1300


def test_requests_that_come_together_start_in_one_step(fake: EngineClient) -> None:
    # Two that overlap (the first is read after both are sent), so that the engine waits for further requests.
    fake.wait(*[fake.generate(name, name * 65536, max_tokens=600) for name in "ab"])
    burst = [fake.generate(str(number), f"count {number}") for number in range(4)]
    fake.wait(*burst)
    assert [answer.text for answer in burst] == ["4/"] * 4


def beats_until(client: EngineClient, condition: Callable[[Beat], bool]) -> Beat:
    """Read reports until there is such a beat."""
    while True:
        report = client.pump()
        if isinstance(report, Beat) and condition(report):
            return report


def test_beats_report_what_the_threads_do(fake: EngineClient) -> None:
    idle = beats_until(fake, lambda beat: beat.activity == "idle")
    assert not idle.preparing
    fake.generate("a", "block")
    working = beats_until(fake, lambda beat: beat.activity == "working")
    assert working.commands > idle.commands
    assert beats_until(fake, lambda beat: True).steps == working.steps


def test_beats_go_on_between_the_frames_of_a_stream(fake: EngineClient) -> None:
    fake.generate("a", "x", max_tokens=10_000_000)
    first = beats_until(fake, lambda beat: beat.activity == "working")
    assert beats_until(fake, lambda beat: True).steps > first.steps


def test_a_hung_engine_writes_its_stacks_on_demand(fake: EngineClient) -> None:
    fake.generate("a", "block")
    beats_until(fake, lambda beat: beat.activity == "working")
    fake.process.send_signal(STACK_SIGNAL)
    stacks = fake.close()
    assert "fake_engine.py" in stacks
    assert " in step" in stacks


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("refuse", "invalid_request_error"),
        ("break", "internal_error"),
        ("panic", "internal_error"),
        ("exit", "internal_error"),
        ("interrupt", "internal_error"),
    ],
)
def test_a_request_that_fails_in_preparation_affects_no_other(fake: EngineClient, prompt: str, code: str) -> None:
    failed = fake.ask("bad", prompt).failed
    assert failed is not None
    assert failed.code == code
    assert "secret" not in failed.message
    assert fake.ask("good", "ok").text == "ok"


def test_a_report_that_fits_no_frame_fails_its_request_and_no_other(fake: EngineClient) -> None:
    garbled = fake.generate("a", "garble")
    fake.wait(garbled)
    assert garbled.failed is not None
    assert garbled.failed.code == "internal_error"

    answered = fake.question(Tokenize(id="b", prompt=TextPrompt("garble")))
    assert isinstance(answered, Failed)
    assert answered.code == "internal_error"

    assert fake.ask("c", "y").text == "y"


@pytest.mark.parametrize("fault", ["panic", "exit"])
def test_a_question_that_native_code_ends_with_a_panic_affects_no_other(fake: EngineClient, fault: str) -> None:
    answered = fake.question(Tokenize(id="b", prompt=TextPrompt(fault)))
    assert isinstance(answered, Failed)
    assert answered.code == "internal_error"
    assert fake.ask("good", "ok").text == "ok"


@pytest.mark.parametrize("prompt", ["exit in submit", "panic in submit", "exit in step", "panic in step"])
def test_what_is_no_exception_ends_its_request_and_not_the_engine(fake: EngineClient, prompt: str) -> None:
    failed = fake.ask("bad", prompt).failed
    assert failed is not None
    assert failed.code == "internal_error"
    assert fake.ask("good", "ok").text == "ok"


@pytest.mark.parametrize("prompt", ["poison", "explode"])
def test_a_request_that_breaks_the_engine_is_failed_and_the_next_is_served(fake: EngineClient, prompt: str) -> None:
    failed = fake.ask("bad", prompt).failed
    assert failed is not None
    assert failed.code == "internal_error"
    assert fake.ask("good", "ok").text == "ok"
    assert "ZeroDivisionError: secret" in fake.close()


def test_a_frame_that_makes_no_sense_fails_its_request(fake: EngineClient) -> None:
    body = msgspec.msgpack.encode({"type": "generate", "request": {"id": "odd", "prompt": 3}})
    fake.answers["odd"] = Answer()
    fake.socket.sendall(len(body).to_bytes(4, "little") + body)
    fake.wait(fake.answers["odd"])
    assert fake.ask("good", "ok").text == "ok"


def test_unknown_ids_can_be_cancelled(fake: EngineClient) -> None:
    fake.cancel("nobody")
    assert fake.ask("good", "ok").text == "ok"


def test_an_idle_engine_reports_its_memory(fake: EngineClient) -> None:
    fake.ask("a", "ok")
    while not fake.memory:
        fake.pump()
    assert fake.memory[-1].prefix_cache == 0


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("missing", "there is no such model"),
        ("bug", "somewhere inside"),
        ("panic", "the tokenizer's file is broken"),
        ("exit", "SystemExit"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_reported_and_the_process_ends(start: Start, path: str, words: str) -> None:
    client = start(*FAKE)
    failed = client.load(path)
    assert isinstance(failed, LoadFailed)
    assert words in failed.message
    assert client.process.wait(SECONDS) == 1


def test_an_engine_that_cannot_be_made_is_reported_and_the_process_ends(start: Start) -> None:
    client = start(*FAKE)
    failed = client.load("anything", model_type="echo")
    assert failed == LoadFailed(message="models of this type have no engine here")
    assert client.process.wait(SECONDS) == 1


def test_a_model_type_without_an_engine_is_refused_by_name(start: Start) -> None:
    failed = start().load("anything", model_type="echo")
    assert isinstance(failed, LoadFailed)
    assert "echo" in failed.message


def test_folders_where_the_user_happens_to_stand_are_not_the_engine_s(tmp_path: Path) -> None:
    """A clone of MLX beside the current folder hid the BLAS, and a folder `providers` was run in the engine's place."""
    for name in ("providers", "mlx"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("print('not ours')\n")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [*ENGINE_COMMAND, str(theirs.fileno())],
            cwd=tmp_path,
            pass_fds=[theirs.fileno()],
            stdout=subprocess.PIPE,
            text=True,
        )
        theirs.close()
        ours.shutdown(socket.SHUT_WR)
        printed, _ = process.communicate(timeout=60)
    assert (printed, process.returncode) == ("", 0)


def test_a_request_whose_preparation_takes_long_holds_up_no_other(fake: EngineClient, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    slow = fake.generate("slow", f"slow {gate}")
    assert fake.ask("quick", "ok").text == "ok"
    assert not slow.ended
    gate.unlink()
    fake.wait(slow)
    assert slow.finished is not None
