"""The `chat` command."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from server.cli._app import cli
from tests.unit.server.cli.scripted import Stub, Terminal, chunk


def ask(stub: Stub, *arguments: str, piped: str = "") -> Result:
    return CliRunner().invoke(cli, ["chat", "--url", stub.url, *arguments], input=piped)


@pytest.fixture
def talk(stub: Stub) -> Iterator[Terminal]:
    terminal = Terminal("chat", "--url", stub.url)
    terminal.expect("> ")
    yield terminal
    terminal.close()


def test_a_message_gets_the_answer_and_nothing_else(stub: Stub) -> None:
    stub.script = [chunk("Par"), chunk("is."), chunk(finish="stop"), "[DONE]"]

    result = ask(stub, "What is the capital of France?")

    assert (result.exit_code, result.stdout) == (0, "Paris.\n")
    assert stub.bodies[0]["messages"] == [{"role": "user", "content": "What is the capital of France?"}]


def test_the_default_model_is_the_first_chat_model(stub: Stub) -> None:
    ask(stub, "Hello")

    assert stub.bodies[0]["model"] == "talker"


def test_piped_text_follows_the_message(stub: Stub) -> None:
    ask(stub, "Summarise:", piped="a long text\n")

    assert stub.bodies[0]["messages"] == [{"role": "user", "content": "Summarise:\n\na long text"}]


def test_options_reach_the_server_and_absent_ones_do_not(stub: Stub) -> None:
    ask(stub, "Hi", "--model", "m", "--system", "Be brief.", "--temperature", "0", "--max-tokens", "5", "--seed", "1")

    assert stub.bodies[0] == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "temperature": 0.0,
        "max_tokens": 5,
        "seed": 1,
        "stream": True,
    }


def test_the_api_key_is_sent(stub: Stub) -> None:
    ask(stub, "Hi", "--api-key", "secret")

    assert stub.keys == ["Bearer secret"]


@pytest.mark.parametrize("suffix", ["/", "/v1", "/v1/"])
def test_the_url_may_be_the_openai_base_url(stub: Stub, suffix: str) -> None:
    result = CliRunner().invoke(cli, ["chat", "--url", stub.url + suffix, "Hi"])

    assert result.stdout == "Paris\n"


def test_a_refusal_is_shown_with_its_status_and_fails(stub: Stub) -> None:
    stub.refusal = (429, {"error": {"message": "100 requests wait already", "code": "queue_full"}})

    result = ask(stub, "Hi")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: 100 requests wait already (HTTP 429)\n"


def test_a_failure_in_the_stream_is_shown_after_the_text_before_it(stub: Stub) -> None:
    stub.script = [chunk("Par"), '{"error": {"message": "the engine died"}}', "[DONE]"]

    result = ask(stub, "Hi")

    assert (result.exit_code, result.stdout, result.stderr) == (1, "Par\n", "Error: the engine died\n")


def test_a_broken_stream_is_an_error(stub: Stub) -> None:
    stub.script = [chunk("Par")]

    result = ask(stub, "Hi")

    assert result.exit_code == 1
    assert "before the answer was complete" in result.stderr


def test_an_unreachable_server_is_one_line() -> None:
    result = CliRunner().invoke(cli, ["chat", "--url", "127.0.0.1:1", "Hi"])

    assert result.exit_code == 1
    assert result.stderr == (
        "Error: no server responds at http://127.0.0.1:1; start one with `mlx-openai-server launch`\n"
    )


def test_empty_input_is_refused(stub: Stub) -> None:
    result = ask(stub, piped=" \n")

    assert result.exit_code == 1
    assert "no message" in result.stderr


def test_an_answer_cannot_control_the_terminal(stub: Stub) -> None:
    stub.script = [chunk("a\x1b]0;title\x07b\x9bc\td"), chunk(finish="stop"), "[DONE]"]

    assert ask(stub, "Hi").stdout == "a]0;titlebc\td\n"


def test_a_conversation_keeps_its_turns_until_it_is_reset(stub: Stub, talk: Terminal) -> None:
    talk.type("first\n")
    talk.expect("Paris")
    talk.expect("> ")
    talk.type("second\n")
    talk.expect("Paris")
    talk.expect("> ")
    talk.type("/reset\n")
    talk.expect("New conversation.")
    talk.expect("> ")
    talk.type("third\n")
    talk.expect("Paris")

    asked = [[turn["content"] for turn in body["messages"]] for body in stub.bodies]
    assert asked == [["first"], ["first", "Paris", "second"], ["third"]]


def test_ctrl_c_stops_the_answer_and_not_the_program(stub: Stub, talk: Terminal) -> None:
    never = threading.Event()
    stub.script = [chunk("Once upon"), never]
    talk.type("a story\n")
    talk.expect("Once upon")

    talk.type("\x03")
    talk.expect("stopped")
    talk.expect("> ")

    assert stub.abandoned.wait(10), "the connection stayed open"
    stub.script = [chunk("Better."), chunk(finish="stop"), "[DONE]"]
    talk.type("shorter\n")
    talk.expect("Better.")
    assert [turn["content"] for turn in stub.bodies[1]["messages"]] == ["a story", "Once upon", "shorter"]


def test_a_refused_turn_is_shown_and_not_kept(stub: Stub, talk: Terminal) -> None:
    stub.refusal = (503, {"error": {"message": "the model is loading"}})
    talk.type("too early\n")
    talk.expect("the model is loading")
    talk.expect("> ")

    stub.refusal = None
    talk.type("again\n")
    talk.expect("Paris")

    assert [turn["content"] for turn in stub.bodies[1]["messages"]] == ["again"]


def test_an_answer_at_the_length_limit_is_marked(stub: Stub, talk: Terminal) -> None:
    stub.script = [chunk("Onc"), chunk(finish="length", usage={"completion_tokens": 1}), "[DONE]"]

    talk.type("a story\n")

    talk.expect("cut off")
    talk.expect("1 token,")


@pytest.mark.parametrize("leave", ["\x04", "/exit\n"])
def test_ctrl_d_and_exit_leave(talk: Terminal, leave: str) -> None:
    talk.type(leave)

    assert talk.wait() == 0


def test_ctrl_c_at_the_prompt_explains_how_to_leave(talk: Terminal) -> None:
    talk.interrupt_until("Ctrl-D or /exit leaves")

    talk.expect("> ")


def test_help_lists_the_commands_and_an_unknown_one_is_named(talk: Terminal) -> None:
    talk.type("/help\n")
    talk.expect("/reset")
    talk.expect("> ")

    talk.type("/nonsense\n")

    talk.expect("no command /nonsense")
