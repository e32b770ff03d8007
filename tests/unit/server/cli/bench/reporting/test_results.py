"""Results from measured times: percentiles, medians over rounds, ratios, tables, plots."""

from __future__ import annotations

import math
from pathlib import Path

import attrs
import pytest

from server.cli.bench.client import Sample
from server.cli.bench.load import LoadResult, percentile
from server.cli.bench.metrics import ratios
from server.cli.bench.prompts import make_prompts, shared_prefix
from server.cli.bench.reporting.plot import plot_load
from server.cli.bench.reporting.report import as_json, to_markdown
from server.cli.bench.reporting.tables import load_tables, seconds
from server.cli.bench.suite.results import Measured, SuiteResult
from server.cli.bench.sweep import Case, Run, make_cases

CASE = Case(streams=1, prompt_words=10, max_tokens=4, requests=2)


def sample(start: float, *chunks: float, error: str | None = None, tokens: int | None = None) -> Sample:
    count = len(chunks) if tokens is None else tokens
    return Sample(started=start, ended=chunks[-1], chunks=chunks, completion_tokens=count, error=error)


def result(rate: float) -> LoadResult:
    """A result whose every metric is `rate`."""
    of = LoadResult.of(1, [sample(0, 1, 2, 3, 4)], 4)
    names = ("tokens_per_second", "first_token_p50", "first_token_p95", "first_token_p99")
    return attrs.evolve(
        of, **dict.fromkeys(names, rate), inter_token_p50=rate, inter_token_p95=rate, inter_token_p99=rate
    )


def run(contender: str, number: int, rate: float, *, complete: bool = True) -> Run:
    return Run(contender=contender, case=CASE, round=number, result=result(rate), complete=complete)


def test_percentiles_are_measured_values() -> None:
    values = [float(value) for value in range(1, 101)]

    assert [percentile(values, rank) for rank in (0, 50, 95, 99, 100)] == [1, 51, 96, 100, 100]
    assert math.isnan(percentile([], 50))


def test_a_run_lasts_from_first_start_to_last_end_and_counts_the_tokens_of_successful_answers() -> None:
    samples = [sample(0, 1, 2, 4), sample(1, 2, 3), sample(2, 10, error="broken")]

    found = LoadResult.of(2, samples, max_tokens=3)

    assert (found.requests, found.errors, found.tokens, found.seconds) == (3, 1, 5, 10)
    assert found.tokens_per_second == 0.5
    assert (found.first_token_p50, found.inter_token_p50, found.inter_token_p99) == (1, 1, 2)
    assert (found.short_answers, found.tokens_per_answer, found.first_error) == (1, 2.5, "broken")


def test_over_rounds_counts_are_added_and_metrics_are_medians() -> None:
    merged = LoadResult.over_rounds([result(1), result(9), attrs.evolve(result(2), errors=1, first_error="broken")])

    assert (merged.requests, merged.errors, merged.tokens_per_second) == (3, 1, 2)
    assert (merged.concurrency, merged.first_error, merged.counted_chunks) == (1, "broken", False)


def test_ratios_are_computed_within_each_round() -> None:
    runs = [run("a", 0, 2), run("b", 0, 1), run("b", 1, 10), run("a", 1, 5), run("a", 2, 6), run("b", 2, 4)]

    (first, *others) = ratios(runs, "a", "b")

    assert (first.metric.field, first.values, first.rounds, first.value) == (
        "tokens_per_second",
        (5, 4),
        (2, 0.5, 1.5),
        1.5,
    )
    assert len(others) == 6


def test_ratios_leave_out_a_round_that_one_contender_did_not_complete() -> None:
    runs = [run("a", 0, 2), run("b", 0, 1), run("b", 1, 10), run("a", 1, 5, complete=False)]

    assert {ratio.rounds for ratio in ratios(runs, "a", "b")} == {(2,)}
    assert ratios(runs[:1], "a", "b") == []


def test_the_table_shows_the_sizes_that_vary() -> None:
    cases = make_cases([1, 8], [10], [4, 64])
    runs = [Run(contender="a", case=case, round=0, result=result(1)) for case in cases]

    (table,) = load_tables(runs, ["a"])

    assert table.head[:3] == ("streams", "max tokens", "requests")
    assert [row[:2] for row in table.rows] == [("1", "4"), ("8", "4"), ("1", "64"), ("8", "64")]
    assert [case.requests for case in cases] == [4, 32, 4, 32]


def test_the_table_shows_cached_tokens_if_there_were_any() -> None:
    cached = attrs.evolve(run("a", 0, 1), result=attrs.evolve(result(1), prompt_tokens=9, cached_tokens=4))

    (table,) = load_tables([cached], ["a"])

    assert (table.head[-2:], table.rows[0][-2:]) == (("prompt", "cached"), ("9", "4"))


@pytest.mark.parametrize(("value", "text"), [(0.0004, "0.40 ms"), (0.05, "50 ms"), (2, "2.00 s"), (math.nan, "–")])
def test_times_are_shown_in_a_suitable_unit(value: float, text: str) -> None:
    assert seconds(value) == text


def test_missing_measurements_are_null_in_json() -> None:
    assert as_json([math.nan]) == b"[\n  null\n]"


def test_a_plot_of_two_contenders_is_a_png(tmp_path: Path) -> None:
    plot_load([run("a", 0, 1), run("b", 0, 2)], tmp_path / "plot.png")

    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_the_suite_s_tables_are_those_of_its_parts() -> None:
    both = [Measured.of(name, 8, [result(rate), result(rate)]) for name, rate in (("free", 4), ("JSON schema", 2))]

    text = to_markdown(SuiteResult(grammar=(both[0], both[1])))

    assert text == (
        "| streams | free tok/s | JSON schema tok/s | JSON schema ÷ free | each round |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| 8 | 4.0 | 2.0 | 0.500 | 0.500 0.500 |\n"
    )


def test_prompts_differ_and_the_shared_words_do_not() -> None:
    assert len(set(make_prompts(1, 20, 5) + make_prompts(2, 20, 5))) == 40
    assert shared_prefix(12) == shared_prefix(12)
    assert (len(shared_prefix(12).split()), shared_prefix(0)) == (12, "")
