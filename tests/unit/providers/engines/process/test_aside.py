"""Preparations that take long, on threads of their own."""

from __future__ import annotations

import threading
from queue import SimpleQueue

from providers.engines.process.aside import THREADS, Aside

SECONDS = 60.0


def test_a_dropped_request_is_not_delivered_and_one_that_waits_is_not_even_prepared() -> None:
    aside = Aside()
    gates = {str(number): threading.Event() for number in range(THREADS)}
    delivered: SimpleQueue[str] = SimpleQueue()
    prepared: SimpleQueue[str] = SimpleQueue()

    def prepare(id: str) -> None:
        prepared.put(id)
        if id in gates:
            gates[id].wait(SECONDS)
        aside.end(id, lambda: delivered.put(id))

    for id in (*gates, "waits", "last"):
        aside.put(id, lambda id=id: prepare(id))  # type: ignore[misc]
    assert {prepared.get(timeout=SECONDS) for _ in gates} == set(gates)
    assert aside.busy
    assert aside.drop("waits")
    assert aside.drop("0")
    for gate in gates.values():
        gate.set()
    assert {delivered.get(timeout=SECONDS) for _ in range(THREADS)} == {*list(gates)[1:], "last"}
    assert prepared.get(timeout=SECONDS) == "last"
    assert prepared.empty()
    assert delivered.empty()
    assert not aside.drop("last")
