"""Debates on one server, or on two in alternation, and their report."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import cattrs

from server.cli.bench.debate import DebateResult, DebateTurn, run_debate, same_answers
from server.cli.bench.reporting.tables import Table, number, seconds
from server.cli.bench.sweep import HttpServer, Unusable

__all__ = ["Debate", "Debates"]


@attrs.frozen(kw_only=True)
class Debate:
    """One debate on one server; incomplete if it was interrupted."""

    server: str
    round: int
    result: DebateResult


@attrs.define(kw_only=True)
class Debates:
    """Debates to run, round by round, on each server in turn. The second server gets the first one's transcript."""

    servers: Sequence[HttpServer]
    turns: int
    max_tokens: int
    sentences: int
    rounds: int = 1
    on_start: Callable[[str], None] = lambda _: None
    """Called with a description of the step that starts."""
    on_turn: Callable[[], None] = lambda: None
    """Called after each turn."""
    held: list[Debate] = attrs.field(factory=list, init=False)
    """Results so far, also after an interruption."""

    @property
    def total_turns(self) -> int:
        return 2 * self.turns * self.rounds * len(self.servers)

    def hold(self) -> None:
        """Run all debates.

        Raises:
            Unusable: a turn failed; the remaining turns were not requested.
        """
        for number_ in range(self.rounds):
            script: DebateResult | None = None
            for server in self.servers:
                self.on_start(f"{server.name}, round {number_ + 1} of {self.rounds}")
                script = self._hold(server, number_, script)

    def _hold(self, server: HttpServer, round_number: int, script: DebateResult | None) -> DebateResult:
        made: list[DebateTurn] = []

        def turn_done(turn: DebateTurn) -> None:
            made.append(turn)
            self.on_turn()

        debate = run_debate(
            server.url,
            model=server.model,
            turns=self.turns,
            max_tokens=self.max_tokens,
            brief_sentences=self.sentences,
            seed=round_number,
            script=script,
            api_key=server.api_key,
            on_turn=turn_done,
        )
        try:
            result = asyncio.run(debate)
        finally:
            if made:
                self.held.append(Debate(server=server.name, round=round_number, result=DebateResult(turns=tuple(made))))
        if result.first_error:
            raise Unusable(f"{server.name}: turn {len(result.turns)} failed: {result.first_error}")
        return result

    # ── report ──────────────────────────────────────────────────────────────────────────────────────────────

    def tables(self) -> list[Table]:
        """Medians over the rounds for every turn; with two servers, also the ratio of their times."""
        names = [server.name for server in self.servers]
        head = ["turn", "debater"]
        for name in names:
            of = f"{name}: " if len(names) > 1 else ""
            head += [f"{of}prompt", f"{of}cached", f"{of}first token", f"{of}÷ first turn"]
        head += ["first ÷ second"] if len(names) > 1 else []
        rows = []
        for index in range(max((len(debate.result.turns) for debate in self.held), default=0)):
            row = [str(index // 2 + 1), "AB"[index % 2]]
            times = []
            for name in names:
                cells, time = self._cells(name, index)
                row += cells
                times.append(time)
            row += [number(times[0] / times[1], 3)] if len(times) > 1 else []
            rows.append(tuple(row))
        return [Table(tuple(head), rows)]

    def notes(self) -> list[str]:
        """Sentences that complete the table."""
        notes = []
        for server in self.servers:
            results = [debate.result for debate in self.held if debate.server == server.name]
            worst = [result.worst_ratio for result in results if result.ratios]
            if worst:
                notes.append(f"{server.name}: a later turn waits at most {max(worst):.3f} of the first turn's time")
            if results and not any(turn.prompt_tokens for result in results for turn in result.turns):
                notes.append(f"{server.name} does not report prompt tokens")
        if len(self.servers) > 1 and (pairs := self._pairs()):
            share = statistics.fmean(same_answers(one, other) for one, other in pairs)
            notes.append(f"{share:.0%} of the answers are the same on both servers")
        return notes

    def data(self) -> dict[str, Any]:
        """The results, ready for JSON."""
        debates = [
            {**cattrs.unstructure(debate), "worst_ratio": debate.result.worst_ratio if debate.result.ratios else None}
            for debate in self.held
        ]
        return {"debates": debates, "notes": self.notes()}

    def draw(self, file: Path) -> None:
        from server.cli.bench.reporting.plot import plot_debates

        names = [server.name for server in self.servers]
        plot_debates({name: self._medians(name) for name in names}, file)

    def _medians(self, name: str) -> list[tuple[float, float, float]]:
        """Prompt tokens, cached tokens and seconds to the first token of every turn."""
        debates = [debate.result.turns for debate in self.held if debate.server == name]
        found = []
        for index in range(max(map(len, debates), default=0)):
            turns = [turns[index] for turns in debates if len(turns) > index]
            found.append(
                (
                    statistics.median(turn.prompt_tokens for turn in turns),
                    statistics.median(turn.cached_tokens for turn in turns),
                    statistics.median(turn.first_token_seconds for turn in turns),
                )
            )
        return found

    def _cells(self, name: str, index: int) -> tuple[list[str], float]:
        medians = self._medians(name)
        if index >= len(medians):
            return ["–"] * 4, float("nan")
        prompt, cached, time = medians[index]
        ratio = number(time / medians[index % 2][2], 3) if index > 1 else ""
        return [number(prompt, 0), number(cached, 0), seconds(time), ratio], time

    def _pairs(self) -> list[tuple[DebateResult, DebateResult]]:
        """Both servers' results of every round that both completed."""
        whole = {
            (debate.round, debate.server): debate.result
            for debate in self.held
            if len(debate.result.turns) == 2 * self.turns
        }
        one, other = (server.name for server in self.servers)
        return [
            (whole[number_, one], whole[number_, other])
            for number_ in range(self.rounds)
            if (number_, one) in whole and (number_, other) in whole
        ]
