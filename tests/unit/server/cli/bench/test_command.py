"""`bench`: its requests, its results, and its exit statuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from server.cli._app import cli
from server.cli.bench.reporting import plot
from tests.unit.server.cli.scripted import Stub, chunk

USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 3}}
COUNTED = [chunk("Once"), chunk(" upon"), chunk(finish="length", usage=USAGE), "[DONE]"]
PNG = b"\x89PNG"


def load(stub: Stub, *arguments: str, command: str = "load") -> Result:
    return CliRunner().invoke(cli, ["bench", command, "--url", stub.url, *arguments])


def results(answer: Result) -> list[dict[str, Any]]:
    return [run["result"] for run in json.loads(answer.stdout)["runs"]]


@pytest.fixture
def other() -> Iterator[Stub]:
    server = Stub()
    yield server
    server.close()


def test_tokens_are_the_ones_that_the_server_reports(stub: Stub) -> None:
    stub.script = [*COUNTED]

    answer = load(stub, "--streams", "2", "--requests", "4", "--max-tokens", "5", "--json")

    assert answer.exit_code == 0, answer.output
    (result,) = results(answer)
    assert (result["requests"], result["errors"], result["tokens"]) == (4, 0, 20)
    assert (result["prompt_tokens"], result["cached_tokens"], result["short_answers"]) == (7, 3, 0)
    assert 0 < result["first_token_p50"] <= result["first_token_p95"] <= result["first_token_p99"]
    assert answer.stderr == ""


def test_without_reported_tokens_chunks_are_counted_and_a_note_mentions_it(stub: Stub) -> None:
    stub.script = [chunk("Once"), chunk(" upon"), chunk(finish="length"), "[DONE]"]

    answer = load(stub, "--streams", "1", "--requests", "3", "--max-tokens", "2", "--json")

    assert results(answer)[0]["tokens"] == 6
    assert "reports no token counts: chunks are counted instead" in answer.stderr


def test_a_note_mentions_answers_that_end_early_and_their_length(stub: Stub) -> None:
    stub.script = [*COUNTED]

    answer = load(stub, "--streams", "1", "--requests", "3", "--max-tokens", "64")

    assert answer.exit_code == 0
    assert "3 of 3 answers ended before 64 tokens; their average is 5" in answer.stderr


def test_reasoning_counts_as_tokens(stub: Stub) -> None:
    thought = json.dumps({"choices": [{"index": 0, "delta": {"reasoning_content": "Hm"}}]})
    stub.script = [thought, thought, chunk("Paris"), chunk(finish="stop")]

    assert results(load(stub, "--streams", "1", "--requests", "1", "--json"))[0]["tokens"] == 3


def test_every_combination_of_sizes_is_requested_with_its_own_prompts(stub: Stub) -> None:
    sizes = ["--streams", "1,2", "--prompt-words", "3,30", "--max-tokens", "4,8", "--requests", "2"]

    answer = load(stub, *sizes, "--shared-prefix", "6", "--json")

    asked = stub.bodies[1:]  # the first warms the server up
    assert len(asked) == 16
    assert {body["max_tokens"] for body in asked} == {4, 8}
    systems = {body["messages"][0]["content"] for body in asked}
    assert len(systems) == 1
    assert len(systems.pop().split()) == 6
    prompts = [body["messages"][1]["content"] for body in asked]
    assert len(set(prompts)) == 16
    assert {len(prompt.rsplit(": ", 1)[1].split(", ")) for prompt in prompts} == {3, 30}
    cases = [run["case"] for run in json.loads(answer.stdout)["runs"]]
    assert len({tuple(case.items()) for case in cases}) == 8


def test_without_a_shared_prefix_there_is_no_system_message(stub: Stub) -> None:
    load(stub, "--streams", "1", "--requests", "1")

    assert [message["role"] for message in stub.bodies[-1]["messages"]] == ["user"]


def test_a_server_that_answers_no_request_ends_the_run_immediately(stub: Stub) -> None:
    stub.refusal = (401, {"error": {"message": "no such key"}})

    answer = load(stub, "--streams", "1,4")

    assert answer.exit_code == 1
    assert "answered no request: 401" in answer.stderr
    assert "no such key" in answer.stderr
    assert len(stub.bodies) == 1


class Scripts(list[Any]):
    """One script per request, in order; the last one is repeated."""

    def __init__(self, *scripts: Iterable[Any]) -> None:
        self._scripts = list(scripts)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0])


def test_a_request_that_fails_among_others_is_counted_and_named(stub: Stub) -> None:
    broken = [chunk("Once"), json.dumps({"error": {"message": "out of memory"}}), "[DONE]"]
    stub.script = Scripts(COUNTED, COUNTED, broken, COUNTED)

    answer = load(stub, "--streams", "1", "--requests", "3", "--json")

    assert answer.exit_code == 1
    (result,) = results(answer)
    assert (result["requests"], result["errors"], result["tokens"]) == (3, 1, 10)
    assert "1 of 3 requests failed, the first with: out of memory" in answer.stderr


@pytest.mark.parametrize("data", ["[]", "nonsense", '{"choices": [{"delta": 3}]}'])
def test_data_that_is_not_an_openai_answer_is_an_error(stub: Stub, data: str) -> None:
    stub.script = [data]

    answer = load(stub, "--streams", "1")

    assert answer.exit_code == 1
    assert "not an answer of an OpenAI-compatible server" in answer.stderr


def test_two_servers_alternate_and_get_the_same_prompts(stub: Stub, other: Stub) -> None:
    stub.script, other.script, other.bodies = [*COUNTED], [*COUNTED], stub.bodies
    compared = ["--model", "a", "--compare", other.url, "--compare-model", "b", "--compare-api-key", "secret"]

    answer = load(stub, *compared, "--streams", "1", "--requests", "2", "--rounds", "2", "--json")

    assert answer.exit_code == 0, answer.output
    asked = stub.bodies[2:]
    assert [body["model"] for body in asked] == list("aabbbbaa")
    prompts = {name: [body["messages"] for body in asked if body["model"] == name] for name in "ab"}
    assert prompts["a"] == prompts["b"]
    data = json.loads(answer.stdout)
    ratios = {ratio["metric"]: ratio for ratio in data["ratios"]}
    assert len(ratios["tokens_per_second"]["rounds"]) == 2
    first, second = ([r["result"] for r in data["runs"] if r["round"] == 0] for _ in range(2))
    expected = first[0]["tokens_per_second"] / second[1]["tokens_per_second"]
    assert ratios["tokens_per_second"]["rounds"][0] == pytest.approx(expected)


def test_the_table_of_two_servers_has_their_ratio(stub: Stub, other: Stub) -> None:
    answer = load(stub, "--compare", other.url, "--streams", "1", "--requests", "1")

    assert answer.exit_code == 0, answer.output
    assert "first ÷ second" in answer.stdout
    assert answer.stdout.count("tokens/s") == 2


def test_output_writes_the_tables_the_data_and_a_plot(stub: Stub, tmp_path: Path) -> None:
    answer = load(stub, "--streams", "1,2", "--requests", "2", "--output", str(tmp_path / "new"))

    assert answer.exit_code == 0, answer.output
    assert (tmp_path / "new" / "load.md").read_text().startswith("| streams | requests | tokens/s |")
    assert len(json.loads((tmp_path / "new" / "load.json").read_text())["runs"]) == 2
    assert (tmp_path / "new" / "load.png").read_bytes().startswith(PNG)


def test_without_matplotlib_output_lacks_only_the_plot_and_a_note_mentions_it(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plot, "can_plot", lambda: False)

    answer = load(stub, "--streams", "1", "--requests", "1", "--output", str(tmp_path))

    assert answer.exit_code == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["load.json", "load.md"]
    assert "extra `bench`" in answer.stderr


def test_a_plot_without_matplotlib_is_refused_before_anything_runs(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plot, "can_plot", lambda: False)

    answer = load(stub, "--plot", str(tmp_path / "load.png"))

    assert answer.exit_code == 2
    assert "--plot: a plot needs matplotlib, which the extra `bench` installs" in answer.stderr
    assert stub.bodies == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["load", "--streams", "1,x"], "--streams"),
        (["load", "--streams", "0"], "--streams"),
        (["load", "--prompt-words", "0"], "--prompt-words"),
        (["load", "--max-tokens", "9000"], "--max-tokens"),
        (["load", "--url", "ftp://host"], "--url"),
        (["load", "--url", "127.0.0.1:port"], "--url"),
        (["load", "--compare", "http://"], "--compare"),
        (["load", "--compare", "http://127.0.0.1:8000"], "--compare: this is the same model of the same server"),
        (["load", "--compare-model", "b"], "--compare-model has no effect without --compare"),
        (["engine", "--compare-model", "b"], "--compare-model has no effect without --compare"),
        (["load", "--plot", "load.jpg"], "--plot"),
        (["load", "--output", "/proc/nowhere"], "cannot write /proc/nowhere"),
        (["debate", "--turns", "0"], "--turns"),
        (["suite", "--part", "everything"], "--part"),
        (["suite", "--peer", "http://127.0.0.1:8000"], "--peer"),
    ],
)
def test_a_bad_option_is_named_and_ends_with_2(arguments: list[str], named: str) -> None:
    answer = CliRunner().invoke(cli, ["bench", *arguments], env={"COLUMNS": "200"})

    assert answer.exit_code == 2, answer.output
    assert named in answer.stderr


@pytest.mark.parametrize("command", ["load", "debate"])
def test_ctrl_c_ends_with_130_and_reports_the_results_so_far(stub: Stub, command: str) -> None:
    reached, never = threading.Event(), threading.Event()

    def endless() -> Iterator[str | threading.Event]:
        yield chunk("Once")
        reached.set()
        yield never

    answered = [COUNTED, COUNTED] if command == "load" else [COUNTED]
    stub.script = Scripts(*answered, endless())
    options = {"load": ["--streams", "1", "--requests", "3"], "debate": ["--turns", "2"]}
    running = subprocess.Popen(
        [sys.executable, "-c", "from server.cli import main; main()", "bench", command, "--url", stub.url, "--json"]
        + options[command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    assert reached.wait(60)
    running.send_signal(signal.SIGINT)
    output, errors = running.communicate(timeout=60)

    assert running.returncode == 130, errors
    assert errors.splitlines()[-1] == "Error: interrupted"
    data = json.loads(output)
    if command == "load":
        (run,) = data["runs"]
        assert (run["complete"], run["result"]["requests"]) == (False, 1)
        assert "was interrupted after 1 of 3" in errors
    else:
        assert len(data["debates"][0]["result"]["turns"]) == 1


def test_a_debate_is_reported_turn_by_turn(stub: Stub) -> None:
    stub.script = [*COUNTED]

    answer = load(stub, "--turns", "2", "--sentences", "3", command="debate")

    assert answer.exit_code == 0, answer.output
    rows = [line.split() for line in answer.stdout.splitlines() if line.split()[1:2] in (["A"], ["B"])]
    assert [row[:4] for row in rows] == [
        ["1", "A", "7", "3"],
        ["1", "B", "7", "3"],
        ["2", "A", "7", "3"],
        ["2", "B", "7", "3"],
    ]
    assert "a later turn waits at most" in answer.stderr
    systems = [body["messages"][0]["content"] for body in stub.bodies]
    assert systems[0] == systems[2] != systems[1] == systems[3]


def test_two_servers_get_the_same_debate(stub: Stub, other: Stub, tmp_path: Path) -> None:
    other.script = [chunk("Rome"), chunk(finish="stop"), "[DONE]"]

    answer = load(
        stub, "--compare", other.url, "--turns", "2", "--sentences", "3", "--output", str(tmp_path), command="debate"
    )

    assert answer.exit_code == 0, answer.output
    assert [body["messages"] for body in stub.bodies] == [body["messages"] for body in other.bodies]
    assert "0% of the answers are the same on both servers" in answer.stderr
    assert "does not report prompt tokens" in answer.stderr
    assert (tmp_path / "debate.png").read_bytes().startswith(PNG)


def test_a_turn_that_fails_ends_the_debate_and_the_turns_before_it_are_reported(stub: Stub) -> None:
    stub.script = Scripts(COUNTED, [json.dumps({"error": {"message": "out of memory"}})])

    answer = load(stub, "--turns", "3", "--sentences", "3", "--json", command="debate")

    assert answer.exit_code == 1
    assert "turn 2 failed: out of memory" in answer.stderr
    assert len(json.loads(answer.stdout)["debates"][0]["result"]["turns"]) == 2
