"""Which replica answers a request: the one that has most of its prompt, unless that one is much busier."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable, Sequence
from typing import Literal

import attrs

from providers.replicas.prefixes import NOTHING, Match, Prefixes, SentPrefixes

__all__ = ["ROUTES", "Load", "Route", "Router"]

Route = Literal["prefix", "key", "load", "overload"]
"""Why a replica was chosen: it has most of the prompt; it had the last request of the same key; it had least to do; it
had least to do, and the replica with the prompt was too busy."""
ROUTES: tuple[Route, ...] = ("prefix", "key", "load", "overload")

MAX_KEYS = 1 << 14
"""Clients' keys that are remembered."""


@attrs.frozen
class Load:
    """What a replica has to do."""

    replica: int
    answers: int
    """Answers in the engine."""
    most: int
    """Answers that it generates together."""

    def is_busy_for(self, answers: int, idlest: Load) -> bool:
        """Whether further answers had better go to the idlest replica, although this one has their prompt.

        It is where they would wait in the engine but not in the other one, or where it has more to do by over half of
        the answers that an engine generates together. A prompt that is computed again takes seconds once; each
        token of a larger batch takes longer.
        """
        if self.answers + answers > self.most:
            return idlest.answers + answers <= idlest.most
        return self.answers - idlest.answers > max(1, self.most // 2)


class Router:
    """Remembers what each replica was sent, and chooses by it. Only requests of chats have prompts to remember."""

    def __init__(self) -> None:
        self._sent: dict[int, SentPrefixes] = {}
        self._keys: OrderedDict[Hashable, int] = OrderedDict()
        """The replica that had the last request of each key."""
        self._counts: dict[int, Counter[Route]] = {}
        self._turns: Counter[int] = Counter()
        """Requests of each replica since the router began."""

    def counts(self, replica: int) -> dict[str, int]:
        """Requests sent to a replica, by the reason for it."""
        counts = self._counts.get(replica, Counter())
        return {route: counts[route] for route in ROUTES}

    def forget(self, replica: int) -> None:
        """Forget what a replica was sent: its engine has ended."""
        self._sent.pop(replica, None)
        for key in [key for key, owner in self._keys.items() if owner == replica]:
            del self._keys[key]

    def route(
        self, loads: Sequence[Load], prefixes: Prefixes, key: Hashable = None, *, answers: int = 1
    ) -> tuple[int, Route]:
        """Choose one of the replicas that can answer, of which there is at least one, and remember the choice.

        `key`: the client's name for what belongs together; None: it has none. `answers`: how many are requested.
        """
        replica, why = self._chosen(loads, prefixes, key, answers)
        if prefixes.keys:
            self._sent.setdefault(replica, SentPrefixes()).add(prefixes)
        if key is not None:
            self._keys[key] = replica
            self._keys.move_to_end(key)
            if len(self._keys) > MAX_KEYS:
                self._keys.popitem(last=False)
        self._counts.setdefault(replica, Counter())[why] += 1
        self._turns[replica] += 1
        return replica, why

    def _chosen(self, loads: Sequence[Load], prefixes: Prefixes, key: Hashable, answers: int) -> tuple[int, Route]:
        shared = {each.replica: self._shared(each.replica, prefixes) for each in loads}
        owner = self._keys.get(key)

        def ease(load: Load) -> tuple[int, bool, int, int]:
            """The smallest is the idlest. Among equals: the key's own, that with more of the prompt, then in turn."""
            return load.answers, load.replica != owner, -shared[load.replica].characters, self._turns[load.replica]

        idlest = min(loads, key=ease)
        most = max(match.characters for match in shared.values())
        having = [each for each in loads if shared[each.replica].characters == most]
        continues = any(shared[each.replica].continues for each in having)
        # Another beginning, such as a system prompt that all have in common, draws no conversation anywhere.
        if continues or (most and 2 * most >= prefixes.total):
            why: Route = "prefix"
            wanted = next((each for each in having if each.replica == owner), None) or min(having, key=ease)
        elif (kept := next((each for each in loads if each.replica == owner), None)) is not None:
            why, wanted = "key", kept
        else:
            return idlest.replica, "load"
        return (idlest.replica, "overload") if wanted.is_busy_for(answers, idlest) else (wanted.replica, why)

    def _shared(self, replica: int, prefixes: Prefixes) -> Match:
        sent = self._sent.get(replica)
        return NOTHING if sent is None or not prefixes.keys else sent.match(prefixes)
