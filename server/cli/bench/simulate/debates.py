"""Simulated debates: two speakers in turns, the replicas that serve them, and what their listeners wait for."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial

import attrs

from server.cli.bench.load import percentile
from server.cli.bench.simulate.costs import BadCosts, Costs
from server.cli.bench.simulate.replica import Clock, Replica, Request

__all__ = ["Load", "Outcome", "fewest", "simulate"]

TOKENS_PER_WORD = 1.3
TURN_TOKENS = 11
"""What the template adds to a statement in the other speaker's prompt."""
CLAUSE_WORDS, SENTENCE_WORDS = 6, 14
"""Words of the first text that is spoken, and of each later one."""
SPOKEN_WORDS = 2.5
"""Words that a voice says per second."""


@attrs.frozen(kw_only=True)
class Load:
    """Debates that run at the same time, each with two speakers that take turns."""

    debates: int = 100
    turns: int = 6
    """Statements of a debate, of both speakers together."""
    words: int = 60
    """Words of a statement."""
    brief_tokens: int = 600
    """Tokens of a speaker's first prompt: persona, brief, question."""
    pace: float = 150.0
    """Words per minute that listeners hear or read: a turn lasts at least that long. 0: the next turn does not wait."""
    pause: float = 1.0
    """Seconds between a turn's end and the next request."""
    cached: float = 0.95
    """Share of later turns whose server has the conversation's earlier turns in its prefix cache."""
    spoken: bool = False
    """The statements are spoken by the same server."""
    ramp: float | None = None
    """Seconds over which the debates begin. None: one turn, so that they are at all places of a turn."""
    seed: int = 0

    @property
    def answer_tokens(self) -> int:
        return max(2, round(self.words * TOKENS_PER_WORD))

    @property
    def turn_seconds(self) -> float:
        """Seconds in which listeners take in a statement."""
        heard = self.words * 60 / self.pace if self.pace else 0.0
        return max(heard, self.words / SPOKEN_WORDS if self.spoken else 0.0)


@attrs.frozen(kw_only=True)
class Outcome:
    """What a number of replicas did with a load. Times in seconds; NaN: nothing was measured."""

    replicas: int
    first_token_p50: float
    first_token_p95: float
    first_sound_p50: float
    first_sound_p95: float
    stalled: float
    """Share of spoken turns whose sound had to wait for a later part."""
    rate_p50: float
    """Tokens per second of an answer after its first token."""
    rate_p5: float
    """The same of the slowest twentieth."""
    tokens_per_second: float
    """Of all replicas together, over the whole run."""
    utilisation: float
    """Share of time in which the busiest replica's engine computed."""

    def meets(self, first_token: float | None, first_sound: float | None) -> bool:
        """Whether the 95th percentiles are within these seconds."""
        return (first_token is None or self.first_token_p95 <= first_token) and (
            first_sound is None or self.first_sound_p95 <= first_sound
        )


@attrs.define
class _Seen:
    first_token: list[float] = attrs.field(factory=list)
    first_sound: list[float] = attrs.field(factory=list)
    rates: list[float] = attrs.field(factory=list)
    stalled: int = 0
    tokens: int = 0


def simulate(load: Load, costs: Costs, replicas: int) -> Outcome:
    """Hold all debates of the load on a number of equal servers.

    Raises:
        BadCosts: the statements are spoken, and the server does not speak.
    """
    if load.spoken and costs.speech is None:
        raise BadCosts("no time of speech: give the seconds per second of sound with --speech-factor")
    clock, chance, seen = Clock(), random.Random(load.seed), _Seen()
    servers = [Replica(clock, costs) for _ in range(replicas)]
    ramp = load.turn_seconds + load.pause if load.ramp is None else load.ramp
    for _ in range(load.debates):
        homes = [servers[chance.randrange(replicas)] for _ in range(2)]  # a hash of the conversation
        debate = _Debate(load, clock, homes, chance, seen)
        clock.after(chance.uniform(0, ramp), debate.turn)
    clock.run()
    return Outcome(
        replicas=replicas,
        first_token_p50=percentile(seen.first_token, 50),
        first_token_p95=percentile(seen.first_token, 95),
        first_sound_p50=percentile(seen.first_sound, 50),
        first_sound_p95=percentile(seen.first_sound, 95),
        stalled=seen.stalled / len(seen.first_sound) if seen.first_sound else float("nan"),
        rate_p50=percentile(seen.rates, 50),
        rate_p5=percentile(seen.rates, 5),
        tokens_per_second=seen.tokens / clock.now,
        utilisation=max(server.busy for server in servers) / clock.now,
    )


def fewest(most: int, good: Callable[[Outcome], bool], run: Callable[[int], Outcome]) -> Iterator[Outcome]:
    """Try 1, 2, 4, … replicas, at most `most`, until an outcome is good; then between it and the last that was not.

    Yields every outcome. The smallest good number among them is the answer.
    """
    low, tried = 0, 1
    while True:
        outcome = run(tried)
        yield outcome
        if good(outcome):
            break
        low = tried
        if tried == most:
            return
        tried = min(2 * tried, most)
    high = tried
    while high - low > 1:
        middle = (low + high) // 2
        outcome = run(middle)
        yield outcome
        low, high = (low, middle) if good(outcome) else (middle, high)


class _Debate:
    """One debate: a request per turn, and the next turn after the listeners."""

    def __init__(self, load: Load, clock: Clock, homes: list[Replica], chance: random.Random, seen: _Seen) -> None:
        self._load, self._clock, self._homes, self._chance, self._seen = load, clock, homes, chance, seen
        self._turn = 0

    def turn(self) -> None:
        """Send the next request."""
        load, number = self._load, self._turn
        home = self._homes[number % 2]
        watch = _Watch(load, self._clock, home, self._seen, self._ended)
        tokens = load.answer_tokens
        reached: dict[int, Callable[[], None]] = {1: watch.began}
        if load.spoken:
            for begin, end in _parts(load.words):
                at = min(tokens, max(2, round(end * TOKENS_PER_WORD)))
                reached[at] = _both(reached.get(at), partial(watch.text, end - begin))
        reached[tokens] = _both(reached.get(tokens), watch.finished)
        home.submit(Request(self._new_tokens(number), tokens, reached))

    def _new_tokens(self, number: int) -> int:
        """Tokens of this turn's prompt that the server has to compute."""
        statement = self._load.answer_tokens + TURN_TOKENS
        if number >= 2 and self._chance.random() < self._load.cached:
            return statement
        return self._load.brief_tokens + number * statement

    def _ended(self) -> None:
        self._turn += 1
        if self._turn < self._load.turns:
            self._clock.after(self._load.pause, self.turn)


class _Watch:
    """One turn from its request to its listeners' end."""

    def __init__(self, load: Load, clock: Clock, home: Replica, seen: _Seen, ended: Callable[[], None]) -> None:
        self._load, self._clock, self._home, self._seen, self._ended = load, clock, home, seen, ended
        self._sent = clock.now
        self._first = 0.0
        self._played: float | None = None
        """When all sound that is there will have been played; None before the first sound."""
        self._parts = len(_parts(load.words)) if load.spoken else 0
        self._stalled = False

    def began(self) -> None:
        self._first = self._clock.now
        self._seen.first_token.append(self._first - self._sent)

    def text(self, words: int) -> None:
        """A part of the answer is complete, and is spoken."""
        sound = words / SPOKEN_WORDS
        self._home.speak(sound, lambda: self._sounds(sound))

    def _sounds(self, sound: float) -> None:
        now = self._clock.now
        if self._played is None:
            self._seen.first_sound.append(now - self._sent)
            self._played = now
        elif now > self._played + 1e-6:
            self._stalled = True
        self._played = max(now, self._played) + sound
        self._parts -= 1
        if not self._parts:
            self._seen.stalled += self._stalled
            self._clock.after(self._played - now, self._ended)

    def finished(self) -> None:
        """The answer has its last token."""
        tokens, taken = self._load.answer_tokens, self._clock.now - self._first
        self._seen.tokens += tokens
        self._seen.rates.append((tokens - 1) / taken)
        if not self._load.spoken:
            self._clock.after(max(0.0, self._load.turn_seconds - taken), self._ended)


def _parts(words: int) -> list[tuple[int, int]]:
    """The first and last words of the texts that are spoken one after the other."""
    ends = [min(CLAUSE_WORDS, words)]
    while ends[-1] < words:
        ends.append(min(words, ends[-1] + SENTENCE_WORDS))
    return list(zip([0, *ends], ends, strict=False))


def _both(one: Callable[[], None] | None, other: Callable[[], None]) -> Callable[[], None]:
    def both() -> None:
        if one is not None:
            one()
        other()

    return both
