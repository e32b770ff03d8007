"""What was sent and what came back, and the checks of these numbers against the server's own."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs

__all__ = ["DISK", "DOWN", "Ledger", "Sent", "request_lines"]

DOWN = ("engine_crashed", "model_not_ready")
"""Codes of the answers for a model whose engine died, hangs or starts."""
DISK = "disk"
"""Name of the time in which nothing can be written, beside the names of the models."""
LATE = 1.0
"""Seconds between the end of an outage as the soak sees it and the last answer that it explains."""


@attrs.define(kw_only=True)
class Sent:
    """One request."""

    id: str
    kind: str
    model: str | None = None
    """The model that has to answer, None if the server answers by itself."""
    begun: float = attrs.field(factory=time.monotonic)
    ended: float = 0.0
    status: int | None = None
    """Status that the client received; None if it left before."""
    code: str | None = None
    """Code of the error, in a response or at the end of a stream."""
    how: str = ""
    """`answered`, `refused`, `failed` (an error event ended the stream), `cancelled`, `unread`."""
    logged: frozenset[int | None] = frozenset()
    """Statuses that the server's log may have. Empty: the client's."""
    maybe: bool = False
    """Whether the request may never have reached the server, because its client left."""
    problem: str | None = None


@attrs.define
class Ledger:
    """All requests, and the times in which models were down."""

    sent: list[Sent] = attrs.field(factory=list)
    outages: dict[str, list[tuple[float, float]]] = attrs.field(factory=lambda: defaultdict(list))
    kept: str | None = None
    """ID of a response that stays stored."""
    untraced: int = 0
    """Requests that ended and left `/traces` between two looks."""
    _traces: dict[str, tuple[str, bool]] = attrs.field(factory=dict)
    """ID of each request at `/traces`, and whether it came to a model's queue, by the key of its trace."""

    @contextmanager
    def outage(self, name: str) -> Iterator[None]:
        """A time in which a model may be down, or the disk full."""
        self.outages[name].append((time.monotonic(), float("inf")))
        try:
            yield
        finally:
            begun, _ = self.outages[name].pop()
            self.outages[name].append((begun, time.monotonic()))

    def down(self, name: str | None, sent: Sent) -> bool:
        """Whether the model was down at some time between a request and its answer."""
        times = self.outages[name] if name else []
        return any(begun < sent.ended and sent.begun < ended + LATE for begun, ended in times)

    def trace(self, request: dict[str, Any]) -> None:
        """Note a request of `/traces`. One that grew comes again."""
        if str(request["request_id"]).startswith("soak-"):
            queued = any(span["name"].startswith("queue") for span in request["spans"])
            self._traces[request["key"]] = (request["request_id"], queued)

    @property
    def queued(self) -> int:
        """Number of requests that came to a model's queue."""
        return sum(queued for _, queued in self._traces.values())

    def problems(self, lines: Iterable[dict[str, Any]], dropped: int) -> list[str]:
        """Everything that is wrong. `lines`: the server's log lines of requests; `dropped`: lines that it left out."""
        found = [f"{sent.id} {sent.kind} {sent.model}: {sent.problem}" for sent in self.sent if sent.problem]
        found += [
            f"{sent.id} {sent.kind}: {sent.code} though {sent.model} was not down"
            for sent in self.sent
            if sent.code in DOWN and not self.down(sent.model, sent)
        ]
        known = Counter(sent.id for sent in self.sent)
        found += [f"{id}: {count} answers" for id, count in known.items() if count > 1]
        return found + self._against_log(lines, dropped) + self._against_traces()

    def _against_log(self, lines: Iterable[dict[str, Any]], dropped: int) -> list[str]:
        statuses: dict[str, list[int | None]] = defaultdict(list)
        for line in lines:
            statuses[line["request_id"]].append(line["status"])
        found, missing = list[str](), list[str]()
        for sent in self.sent:
            logged, allowed = statuses.pop(sent.id, []), sent.logged or {sent.status}
            if not logged and not sent.maybe:
                missing.append(f"{sent.id} {sent.kind}: no log line")
            if len(logged) > 1 or not allowed.issuperset(logged):
                found.append(f"{sent.id} {sent.kind}: logged {logged}, not one of {[*allowed]}")
        found += [f"{id}: in the log, and never sent" for id in statuses if id.startswith("soak-")]
        return found + (missing if len(missing) > dropped else [])

    def _against_traces(self) -> list[str]:
        traced = Counter(id for id, _ in self._traces.values())
        found = [f"{id}: {count} traces" for id, count in traced.items() if count > 1]
        known = {sent.id for sent in self.sent}
        found += [f"{id}: in /traces, and never sent" for id in traced if id not in known]
        missing = [
            f"{sent.id} {sent.kind}: not in /traces" for sent in self.sent if not sent.maybe and not traced[sent.id]
        ]
        return found + (missing if len(missing) > self.untraced else [])

    def table(self) -> dict[str, dict[str, int]]:
        """Number of requests per kind, and how they ended."""
        counted: dict[str, Counter[str]] = defaultdict(Counter)
        for sent in self.sent:
            status = "closed" if sent.status is None else str(sent.status)
            ending = f"{status} {sent.code}" if sent.code else f"{status} {sent.how}"
            counted[sent.kind][ending] += 1
        return {kind: dict(counts.most_common()) for kind, counts in sorted(counted.items())}


def request_lines(log: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]], int]:
    """The log's lines of requests, its other lines, and the number of lines that the server left out."""
    requests, others, dropped = list[dict[str, Any]](), list[dict[str, Any]](), 0
    for text in log.splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            line = {"message": text}
        event = str(line.get("message"))
        if event == "request":
            requests.append(line)
        else:
            others.append(line)
        if "log lines were dropped" in event:
            dropped += int(event.split()[0])
    return requests, others, dropped
