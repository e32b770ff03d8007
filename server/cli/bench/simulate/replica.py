"""One simulated server: its queue, its batch with the prompts beside it, and its voice."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from itertools import count

import attrs

from server.cli.bench.simulate.costs import Costs

__all__ = ["STEPS", "UNNOTICED", "Clock", "Replica", "Request"]

STEPS, UNNOTICED = 1.4, 0.1
"""Time of a chunk of a prompt beside running answers, in steps and at least in seconds: the engine's own numbers
(`providers/engines/language/prefill/budget.py`)."""


PART_SECONDS = 2.0
"""Sound that the first part of a text has; the rest comes while it plays."""


class Clock:
    """Simulated time, and what happens in it. Events of one time happen in the order in which they were made."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), event))

    def run(self) -> None:
        """Let everything happen, until nothing is left."""
        while self._events:
            self.now, _, event = heapq.heappop(self._events)
            event()


@attrs.define(eq=False)
class Request:
    """A prompt and the answer to it. `reached[n]` is called when the answer has `n` tokens."""

    new_tokens: int
    """Tokens of the prompt that no cache has."""
    answer_tokens: int
    reached: dict[int, Callable[[], None]]
    _left: float = 0.0
    """Seconds of its prompt that are not computed."""


class Replica:
    """A server with one engine: admits up to `costs.slots` requests, and advances all of them by steps.

    Like the engine: a prompt is computed whole while no answer runs, all waiting ones together; else in chunks, one
    before each step.
    """

    def __init__(self, clock: Clock, costs: Costs) -> None:
        self._clock = clock
        self._costs = costs
        self.busy = 0.0
        """Seconds in which the engine computed."""
        self._intake_free = 0.0
        self._voice_free = 0.0
        self._waiting: deque[Request] = deque()
        self._filling: deque[Request] = deque()
        self._rows = 0
        self._steps = 0
        self._marks: list[tuple[int, int, Callable[[], None]]] = []
        """What happens after a number of steps."""
        self._numbers = count()
        self._running = self._overlapped = False

    def submit(self, request: Request) -> None:
        """Send a request now."""
        now = self._clock.now
        self._intake_free = max(now, self._intake_free) + self._costs.request_ms / 1000
        self._clock.after(self._intake_free - now, lambda: self._arrive(request))

    def speak(self, sound_seconds: float, heard: Callable[[], None]) -> None:
        """Synthesize a text after those before it. `heard` is called when its first part is there."""
        assert self._costs.speech is not None
        now = self._clock.now
        begun = max(now, self._voice_free)
        self._voice_free = begun + sound_seconds * self._costs.speech
        self._clock.after(begun - now + min(sound_seconds, PART_SECONDS) * self._costs.speech, heard)

    def _arrive(self, request: Request) -> None:
        request._left = self._costs.prompt(request.new_tokens)
        self._waiting.append(request)
        if self._running:
            self._overlapped = True
            return
        # After requests have overlapped, an idle engine waits for more of them.
        gather = self._costs.gather_ms / 1000 if self._overlapped else 0.0
        self._running, self._overlapped = True, False
        self._clock.after(gather, self._iterate)

    def _iterate(self) -> None:
        """Begin what the engine does next, for as long as it has something to do."""
        while self._waiting and self._rows + len(self._filling) < self._costs.slots:
            self._filling.append(self._waiting.popleft())
        if self._rows:
            step = self._costs.step(self._rows)
            chunk = self._chunk(max(STEPS * step, UNNOTICED))
            self._take(step + chunk, self._stepped)
        elif self._filling:
            self._take(sum(request._left for request in self._filling), self._filled)
        else:
            self._running = False

    def _take(self, seconds: float, then: Callable[[], None]) -> None:
        self.busy += seconds
        self._clock.after(seconds, then)

    def _chunk(self, allowed: float) -> float:
        """Compute up to `allowed` seconds of prompts beside a step. Returns the seconds."""
        taken = 0.0
        for request in self._filling:
            part = min(request._left, (allowed - taken) * self._costs.beside)
            request._left -= part
            taken += part / self._costs.beside
            if request._left > 1e-9:
                break
        return taken

    def _stepped(self) -> None:
        self._steps += 1
        while self._marks and self._marks[0][0] <= self._steps:
            heapq.heappop(self._marks)[2]()
        while self._filling and self._filling[0]._left <= 1e-9:
            self._begin(self._filling.popleft())
        self._iterate()

    def _filled(self) -> None:
        filled, self._filling = self._filling, deque()
        for request in filled:
            self._begin(request)
        self._iterate()

    def _begin(self, request: Request) -> None:
        """Give a computed prompt its first token and a row."""
        self._rows += 1
        for tokens, reached in request.reached.items():
            self._mark(tokens - 1, reached)
        self._mark(request.answer_tokens - 1, self._leave)

    def _mark(self, steps: int, event: Callable[[], None]) -> None:
        if steps <= 0:
            event()
        else:
            heapq.heappush(self._marks, (self._steps + steps, next(self._numbers), event))

    def _leave(self) -> None:
        self._rows -= 1
