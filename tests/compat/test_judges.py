"""Judges of other people against the server: `make compat`. Not part of `make test`, because they need the registries.

The scripted model answers right, so each failure is the server's. The embedded model is too small to choose tools and
to repeat a word: `MODEL_FAULTS` names the cases that fail for the content of its answer. It is judged by the two suites
that judge the wire most, and holds a conversation with each client: its grammar holds the call that the client forces.
"""

from __future__ import annotations

import pytest

from tests.compat.conftest import ROWS
from tests.compat.judges import JUDGES, REALTIME, TWO_TURNS, Judge, Service

MODEL_FAULTS = {
    "chat.pong": "the model does not repeat the word",
    "tools.parallel-deltas": "the model makes one call where two are wanted",
    "tools.round-trip": "needs the calls of tools.parallel-deltas",
}
"""Cases that may fail over a model of 135 million parameters, and why."""

pytestmark = pytest.mark.timeout(1200)


def judged(judge: Judge, service: Service, config: pytest.Config, expected: dict[str, str]) -> None:
    outcomes = judge.run(service)
    failed = [outcome for outcome in outcomes if outcome.passed is False]
    unforeseen = [each for each in failed if each.case not in expected]
    config.stash[ROWS].append((judge, service, outcomes, len(failed) - len(unforeseen)))

    assert any(outcome.passed for outcome in outcomes)
    assert not unforeseen, "\n".join(f"{each.case}: {each.detail}" for each in unforeseen)


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.name)
def test_over_the_scripted_model(judge: Judge, scripted: Service, pytestconfig: pytest.Config) -> None:
    judged(judge, scripted, pytestconfig, {})


@pytest.mark.parametrize("judge", [*JUDGES[:2], *TWO_TURNS, *REALTIME], ids=lambda judge: judge.name)
def test_over_the_embedded_model(judge: Judge, embedded: Service, pytestconfig: pytest.Config) -> None:
    judged(judge, embedded, pytestconfig, MODEL_FAULTS)
