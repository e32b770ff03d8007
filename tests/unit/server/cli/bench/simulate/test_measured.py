"""The simulation beside what docs/performance.md and docs/scaling.md say was measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from providers.engines.language.prefill import budget
from server.cli.bench.simulate import replica
from server.cli.bench.simulate.costs import PRESETS, Costs
from server.cli.bench.simulate.debates import TOKENS_PER_WORD, Load, Outcome, simulate

DOCS = Path(__file__).parents[6] / "docs"


def section(page: str, title: str) -> str:
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def hold(costs: Costs, debates: int, *, tokens: int, brief: int, turns: int = 1) -> Outcome:
    """Debates that begin together and wait for no listener."""
    load = Load(
        debates=debates,
        turns=turns,
        words=tokens / TOKENS_PER_WORD,  # type: ignore[arg-type]
        brief_tokens=brief,
        pace=0,
        pause=0,
        ramp=0,
        cached=1,
    )
    assert load.answer_tokens == tokens
    return simulate(load, costs, 1)


def over_http() -> list[tuple[int, float]]:
    """Streams, and tokens per second over HTTP, of the 7B model on an H200."""
    rows = re.findall(
        r"^\| (\d+) \| [\d,]+ \| ([\d,]+) \| [\d.]+ \| [\d. ]+\|$",
        section("performance.md", "Time of a decode step on CUDA"),
        re.MULTILINE,
    )
    return [(int(streams), float(rate.replace(",", ""))) for streams, rate in rows]


def test_the_h200_s_table_has_five_numbers_of_streams() -> None:
    assert [streams for streams, _ in over_http()] == [1, 8, 32, 64, 128]


@pytest.mark.parametrize(("streams", "measured"), over_http())
def test_an_h200_s_tokens_per_second_are_those_measured_within_a_quarter(streams: int, measured: float) -> None:
    outcome = hold(PRESETS["h200-7b"], streams, tokens=128, brief=519)

    assert outcome.tokens_per_second == pytest.approx(measured, rel=0.25)


def test_a_debate_s_first_tokens_on_a_cpu_are_those_measured_within_an_eighth() -> None:
    rows = re.findall(
        r"^\| (\d+) \| [AB] \| (\d+) \| \d+ \| ([\d.]+) (m?s) \|", section("performance.md", "A debate"), re.MULTILINE
    )
    times = [float(time) / (1000 if unit == "ms" else 1) for _, _, time, unit in rows]
    assert len(times) == 12

    outcome = hold(PRESETS["cpu"], 1, tokens=24, brief=int(rows[0][1]), turns=12)

    assert outcome.first_token_p95 == pytest.approx(max(times), rel=0.125)
    assert outcome.first_token_p50 == pytest.approx(sorted(times)[len(times) // 2], rel=0.125)


def test_the_engine_s_chunks_beside_answers_are_simulated() -> None:
    assert (replica.STEPS, replica.UNNOTICED) == (budget.STEPS, budget.UNNOTICED)


MEASURED = Costs(
    decode=((1, 47.15), (2, 121.92), (4, 135.51), (8, 165.18)),
    prefill=((55, 241.4), (277, 974.2), (1046, 4303.8)),
    beside=0.137,
    request_ms=1,
    gather_ms=20,
    slots=8,
)
"""Of the server of that run, by `--url`."""
NUMBER = r"([\d.]+)(?: s)?"


def debates_of_a_server() -> list[tuple[int, list[float]]]:
    """Debates, and what was measured and simulated in turn: tokens per second, first token, tokens per stream."""
    rows = re.findall(
        rf"^\| (\d+) \| {' . '.join([NUMBER] * 6)} \|$".replace(" . ", r" \| "),
        section("scaling.md", "How far it is right"),
        re.MULTILINE,
    )
    return [(int(debates), [float(value) for value in values]) for debates, *values in rows]


def test_three_loads_of_a_server_were_measured() -> None:
    assert [debates for debates, _ in debates_of_a_server()] == [1, 4, 8]


@pytest.mark.parametrize(("debates", "values"), debates_of_a_server())
def test_a_server_s_debates_are_those_measured_within_a_third(debates: int, values: list[float]) -> None:
    outcome = hold(MEASURED, debates, tokens=24, brief=295, turns=4)

    simulated = [outcome.tokens_per_second, outcome.first_token_p95, outcome.rate_p50]
    assert values[1::2] == pytest.approx(simulated, rel=0.05), "the page shows other numbers"
    assert simulated == pytest.approx(values[::2], rel=1 / 3)
