"""The part `overhead` of `bench suite`, with contenders that compute nothing."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from server.cli._app import cli
from server.cli.bench.client import Sample, Workload
from server.cli.bench.engine import EngineFailed
from server.cli.bench.load import LoadResult
from server.cli.bench.reporting.report import as_json, to_markdown
from server.cli.bench.servers import ServerFailed
from server.cli.bench.suite import overhead, run
from server.cli.bench.suite.overhead import Clock, measure_overhead, rounds_of
from server.cli.bench.suite.processes import NotQuantised
from server.cli.bench.suite.results import Measured, SuiteOptions, SuiteResult

Load = tuple[str, int, int]
"""A contender's name, words per prompt and streams."""


@attrs.define
class Scripted:
    """A contender of a constant speed, which fails from a load on."""

    name: str
    loads: list[Load]
    fails_after: int = 1000
    raises: bool = False

    def load(self, workload: Workload, streams: int) -> LoadResult:
        words = workload.prompts[0].partition(": ")[2].count(",") + 1
        self.loads.append((self.name, words, streams))
        failed = sum(load[0] == self.name for load in self.loads) > self.fails_after
        if failed and self.raises:
            raise EngineFailed("out of memory")
        sample = Sample(started=0, ended=2, chunks=(1, 2), completion_tokens=8, error="gone" if failed else None)
        return LoadResult.of(streams, [sample] * streams, workload.max_tokens)


def options(**changes: Any) -> SuiteOptions:
    return SuiteOptions(**{"model": Path("m"), "streams": (1, 4), "rounds": 2, "prompt_words": (5, 9), **changes})


def measured(contenders: list[Any], clock: Clock, **changes: Any) -> tuple[list[Measured], list[str]]:
    notes: list[str] = []
    found = [[], *rounds_of(contenders, options(**changes), "as given", clock, notes, lambda _: None)][-1]
    return found, notes


def test_each_round_has_every_case_and_each_case_every_contender() -> None:
    loads: list[Load] = []

    found, notes = measured([Scripted("a", loads), Scripted("b", loads)], Clock(None), most_words=30)

    cases = [(5, 1), (5, 4), (9, 1)]
    assert loads == 2 * [(name, *case) for case in cases for name in ("a", "b")]
    assert [(one.name, one.prompt_words, one.streams) for one in found] == loads[:6]
    assert {len(one.rounds) for one in found} == {2}
    assert notes == []


@pytest.mark.parametrize(("raises", "why"), [(True, "out of memory"), (False, "4 answers failed: gone")])
def test_a_contender_that_fails_is_left_out_and_keeps_what_it_had(raises: bool, why: str) -> None:
    loads: list[Load] = []

    found, notes = measured([Scripted("a", loads, 1, raises), Scripted("b", loads)], Clock(None))

    assert [load for load in loads if load[0] == "a"] == [("a", 5, 1), ("a", 5, 4)]
    assert [(one.name, len(one.rounds)) for one in found] == [("a", 1), *[("b", 2)] * 4]
    assert notes == [f"a, weights as given, 5 words, 4 streams: left out from round 1 on: {why}"]


def test_no_load_begins_when_the_time_is_over() -> None:
    loads: list[Load] = []

    assert measured([Scripted("a", loads)], Clock(0)) == (
        [],
        ["weights as given: the time was over in round 1 of 2"],
    )
    assert loads == []


def test_what_does_not_start_or_cannot_be_quantised_leaves_the_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(overhead, "EngineDriver", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(overhead, "_Engine", lambda _: Scripted("in-process", []))
    monkeypatch.setattr(overhead, "_Server", lambda name, *_: Scripted(name, []))
    monkeypatch.setattr(overhead, "own_server", lambda *_: contextlib.nullcontext("url"))
    monkeypatch.setattr(overhead, "mlx_lm_server", unable)
    monkeypatch.setattr(overhead, "quantised", unable)

    *_, found = measure_overhead(options(beside_mlx_lm=True, bits=(4,)), tmp_path, Clock(None), lambda _: None)

    assert {one.name for one in found.measured} == {"in-process", "HTTP"}
    assert found.notes == [
        "mlx_lm.server, weights as given: left out, it did not start: no port",
        "4 bits: not measured, mlx-lm cannot quantise the model: no such layer",
    ]


def unable(*arguments: Any, streams: int | None = None) -> Any:
    raise ServerFailed("no port") if streams is not None else NotQuantised("no such layer")


def test_the_table_has_a_row_per_case_and_a_column_per_server() -> None:
    one = LoadResult.of(1, [Sample(started=0, ended=2, chunks=(1, 2), completion_tokens=8, prompt_tokens=7)], 8)
    half = attrs.evolve(one, tokens_per_second=2.0)
    case: dict[str, Any] = {"weights": "4 bits", "prompt_words": 5}
    found = (
        Measured.of("in-process", 1, [half]),
        Measured.of("HTTP", 1, [one, one]),
        Measured.of("mlx_lm.server", 1, [half]),
        Measured.of("HTTP", 1, [one], **case),
    )

    head, _, *rows = to_markdown(SuiteResult(overhead=found)).splitlines()

    assert head.count("|") == 10
    assert rows == [
        "| as given | 7 | 1 | 2.0 | 4.0 | 2.000 | 2.000 | 2.0 | 2.00 |",
        "| 4 bits | 7 | 1 | – | 4.0 | – |  | – | – |",
    ]
    assert json.loads(as_json(SuiteResult(overhead=found)))["overhead"][3]["weights"] == "4 bits"


def test_a_run_that_hangs_ends_with_what_was_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one = LoadResult.of(1, [Sample(started=0, ended=2, chunks=(1, 2), completion_tokens=8)], 8)

    def hang(*_: object) -> Iterator[SuiteResult]:
        yield SuiteResult(overhead=(Measured.of("HTTP", 1, [one]),))
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
        signal.raise_signal(signal.SIGALRM)
        raise AssertionError("not interrupted")

    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(run, "run_suite", hang)
    command = ["bench", "suite", "--part", "overhead", "--model-path", str(tmp_path), "--minutes", "60"]

    answer = CliRunner().invoke(cli, [*command, "--output", str(tmp_path)])

    assert answer.exit_code == 0, answer.output
    written = json.loads((tmp_path / "suite.json").read_text())
    assert written["overhead"][0]["tokens_per_second"] == 4
    assert written["notes"] == ["the time was over before everything was measured"]
    assert "Note: the time was over" in answer.stderr
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
