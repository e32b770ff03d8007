"""Times: interpolation, files, and measurements of a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from server.cli._app import cli
from server.cli.bench.client import Sample
from server.cli.bench.simulate.costs import BadCosts, Costs, of_load, read_costs
from server.cli.bench.simulate.measuring import step_of
from tests.unit.server.cli.scripted import Stub, chunk


def run(streams: int, gap: float, first: float, prompt: float, cached: float = 0) -> dict[str, Any]:
    result = {"inter_token_p50": gap, "first_token_p50": first, "prompt_tokens": prompt, "cached_tokens": cached}
    return {"case": {"streams": streams}, "result": result}


LOAD = {"runs": [run(1, 0.04, 0.5, 100), run(1, 0.05, 0.6, 110, 10), run(4, 0.1, 3, 100), run(1, 0.04, 2, 400)]}


def simulate(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["bench", "simulate", "--debates", "2", "--turns", "2", *arguments])


def test_times_lie_on_the_line_between_two_measured_ones() -> None:
    costs = Costs(decode=((8, 40), (1, 10), (4, 40)), prefill=((100, 1000), (300, 4000)), step_ms=1)

    assert [round(costs.step(rows) * 1000) for rows in (1, 2, 4, 6, 16)] == [11, 21, 41, 41, 41]
    assert [round(costs.prompt(tokens), 3) for tokens in (10, 50, 80, 100, 200, 500)] == [0.5, 0.5, 0.8, 1, 2.5, 7]


@pytest.mark.parametrize("points", [(), ((0, 1),), ((1, 0),), ((1, float("nan")),)])
def test_times_that_cannot_be_are_refused(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(BadCosts):
        Costs(decode=points, prefill=((1, 1),))


def test_a_load_s_gaps_are_steps_and_its_first_tokens_prompts() -> None:
    costs = of_load(LOAD)

    assert costs.decode == ((1, 40), (4, 100))
    assert costs.prefill == ((100, 500), (400, 2000))
    assert costs.slots == 8


def test_a_load_without_a_single_stream_is_refused() -> None:
    with pytest.raises(BadCosts, match="--streams 1"):
        of_load({"runs": [run(4, 0.1, 3, 100)]})


def test_a_step_is_measured_while_all_answers_run() -> None:
    def sample(*chunks: float) -> Sample:
        return Sample(started=0, ended=9, chunks=chunks, completion_tokens=len(chunks), prompt_tokens=5)

    assert step_of([sample(1, 2, 3, 4), sample(2.5, 3.5, 4.5)]) == pytest.approx(1.5 * 2 / 3)
    with pytest.raises(BadCosts, match="together"):
        step_of([sample(1, 2), sample(3, 4)])
    with pytest.raises(BadCosts, match="two pieces"):
        step_of([sample(1)])


def test_the_times_of_a_run_are_saved_and_read_again(tmp_path: Path) -> None:
    saved = tmp_path / "costs.json"
    first = simulate("--preset", "h200-7b", "--save", str(saved))
    again = simulate("--from-json", str(saved))

    assert first.exit_code == again.exit_code == 0, first.output
    assert again.stdout == first.stdout
    assert "1 replica meets first token p95 ≤ 1 s" in first.stdout
    assert read_costs(saved).slots == 128


def test_a_load_s_output_is_read(tmp_path: Path) -> None:
    file = tmp_path / "load.json"
    file.write_text(json.dumps(LOAD))
    answer = simulate("--from-json", str(file), "--first-token", "60", "--json", "--slots", "4")

    found = json.loads(answer.stdout)
    assert found["replicas"] == 1
    assert [outcome["replicas"] for outcome in found["outcomes"]] == [1]


@pytest.mark.parametrize("text", ["[]", "{", '{"runs": [{}]}', '{"decode": []}', '{"decode": [], "prefill": []}'])
def test_another_file_is_refused_with_its_name(text: str, tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(text)
    answer = simulate("--from-json", str(file))

    assert answer.exit_code == 1
    assert "other.json" in answer.stderr


def test_a_target_that_nothing_meets_is_status_1() -> None:
    answer = simulate("--first-token", "0.001", "--replicas-max", "2")

    assert answer.exit_code == 1
    assert "None of these meets first token p95 ≤ 0.001 s" in answer.stdout
    assert answer.stdout.count("\n| 1 |") == answer.stdout.count("\n| 2 |") == 1


def test_spoken_debates_have_columns_and_a_target_of_their_own() -> None:
    answer = simulate("--spoken", "--first-audio", "30", "--replicas", "1,2")

    assert "first audio p50" in answer.stdout
    assert "1 replica meets first audio p95 ≤ 30 s" in answer.stdout


@pytest.mark.parametrize(
    "arguments", [("--preset", "cpu", "--url", "http://127.0.0.1:1"), ("--first-audio", "1")], ids=["two", "unspoken"]
)
def test_options_that_exclude_each_other_are_refused(arguments: tuple[str, ...]) -> None:
    assert simulate(*arguments).exit_code == 2


def test_a_server_without_counts_cannot_be_measured() -> None:
    stub = Stub()
    stub.script = [chunk("Once"), chunk(" upon", finish="length"), "[DONE]"]
    answer = simulate("--url", stub.url)
    stub.close()

    assert answer.exit_code == 1
    assert "reports no prompt tokens" in answer.stderr
