"""Whether proposals make a batch faster: tokens that a pass is expected to give, and the time that it takes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Protocol

__all__ = ["COST_ON_CPU", "Always", "Measured", "Worth"]

MOST_FED = 512
"""Tokens of all sequences in one pass. Their logits take memory: 512 x 150,000 in float32 are 300 MB."""
_LEAST_GAIN = 1.05
_MOST_DELAY = 1.01
"""How much longer answers may take that gain nothing, measured until those that gain from the passes have ended."""
_WEIGHT = 0.25
"""Weight of the latest measurement."""
_SETTLED = 2
"""Steps without proposals, one after the other, before one takes its usual time: the device computes ahead."""
_OLD = 256
"""Passes with proposals after which a few steps do without, to measure those again."""
_FORGETTING = 0.998
"""How much of what a pass costs more is remembered with each refusal. A pass that was once slow is tried again."""
_SUPPOSED = 0.01
"""What a token more in a pass costs, in steps, before passes of its kind were measured."""
COST_ON_CPU = 0.03
_LONGEST = 1.1
"""A step counts as at most this, in relation to its usual time: other programs may have interrupted it."""


class Worth(Protocol):
    """Decides how many tokens a batch proposes. One call of `begin` and one of another method per step."""

    def begin(self, sequences: int) -> None:
        """Note that the step before has ended."""

    def width(self, sequences: int, chances: Sequence[tuple[int, float]]) -> int:
        """The most tokens to propose for each sequence; 0 to propose none.

        `chances`: for each sequence with a proposal its tokens, and the probability that one of them is accepted.
        """

    def plain(self, sequences: int) -> None:
        """Note that a step without proposals begins."""

    def verified(self, sequences: int, width: int, seconds: float) -> None:
        """Note the time of a pass with up to `width` proposed tokens for each sequence."""

    def pause(self) -> None:
        """Note that a step begins that does more than a token for each sequence."""


class Always:
    """Every proposal is worth its pass, as it mostly is for a single sequence: a pass reads all weights in any case."""

    def begin(self, sequences: int) -> None: ...

    def width(self, sequences: int, chances: Sequence[tuple[int, float]]) -> int:
        return min(MOST_FED // sequences - 1, max((count for count, _ in chances), default=0))

    def plain(self, sequences: int) -> None: ...

    def verified(self, sequences: int, width: int, seconds: float) -> None: ...

    def pause(self) -> None: ...


class Measured:
    """Proposes what is expected to give more tokens per second than a step without proposals.

    A step without proposals is measured from its begin to that of the next one. For passes with proposals, the ratio to
    that is kept, by powers of two of sequences and of proposed tokens; the first pass of each kind does not count, as
    it may build kernels. A ratio not known yet follows from that of fewer tokens and a supposed cost of the others, so
    that many tokens are tried only where few were cheap.

    A pass computes as many tokens for answers without proposals, which wait for it. They gain as the other answers end
    sooner, so that fewer sequences share their steps. Where the cost of passes is known, nothing is proposed if those
    answers would still take longer.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter, *, cost: float | None = None) -> None:
        """`cost`: what a token more in a pass costs, in steps, where that is roughly known before it was measured."""
        self._clock = clock
        self._steps: dict[int, float] = {}
        """Seconds of a step without proposals, by sequences."""
        self._ratios: dict[tuple[int, int], float] = {}
        self._tried: set[tuple[int, int]] = set()
        self._supposed = _SUPPOSED if cost is None else cost
        self._tries = cost is None
        """Whether to try passes of a kind not measured yet that may delay other answers."""
        self._streak = 0
        """Steps without proposals just before this one, with as many sequences."""
        self._sequences = 0
        self._begun = 0.0
        self._passes = 0
        """Passes with proposals since a step without was measured."""

    def begin(self, sequences: int) -> None:
        now = self._clock()
        if sequences != self._sequences:
            self._streak = 0
        elif self._streak >= _SETTLED:
            known = self._steps.get(sequences)
            taken = now - self._begun
            self._steps[sequences] = taken if known is None else _mean(known, min(taken, _LONGEST * known))
            self._passes = 0
        self._sequences, self._begun = sequences, now

    def width(self, sequences: int, chances: Sequence[tuple[int, float]]) -> int:
        most = min(MOST_FED // sequences - 1, max((count for count, _ in chances), default=0))
        if sequences not in self._steps or self._passes >= _OLD or most < 1:
            return 0
        widths = [*itertools.takewhile(lambda width: width < most, (1 << power for power in range(10))), most]
        gains = {width: self._gain(sequences, width, chances) for width in widths}
        best = max(gains, key=gains.__getitem__)
        if gains[best] >= _LEAST_GAIN:
            return best
        for kind in {_kind(sequences, width) for width in widths} & self._ratios.keys():
            self._ratios[kind] = 1.0 + (self._ratios[kind] - 1.0) * _FORGETTING
        self._supposed *= _FORGETTING
        return 0

    def plain(self, sequences: int) -> None:
        self._streak += 1

    def verified(self, sequences: int, width: int, seconds: float) -> None:
        self._streak = 0
        self._passes += 1
        kind = _kind(sequences, width)
        if kind in self._tried:
            ratio = max(1.0, seconds / self._steps[sequences])
            self._ratios[kind] = _mean(self._ratios.get(kind), ratio)
        self._tried.add(kind)

    def pause(self) -> None:
        self._streak = 0

    def _gain(self, sequences: int, width: int, chances: Sequence[tuple[int, float]]) -> float:
        """Tokens per second of a pass, in relation to a step without proposals; 0 if it delays the others too much."""
        tokens = [1.0 + _expected(min(count, width), share) for count, share in chances]
        tokens += [1.0] * (sequences - len(tokens))
        ratio = self._ratio(sequences, width)
        known = _kind(sequences, width) in self._ratios
        if (known or not self._tries) and self._delay(tokens, ratio) > _MOST_DELAY:
            return 0.0
        return sum(tokens) / sequences / ratio

    def _delay(self, tokens: Sequence[float], ratio: float) -> float:
        """How much longer the sequences take that a pass slows down.

        Measured over as many tokens as the other sequences need: those get them in few passes, and then end.
        """
        late = [each for each in tokens if each < ratio]
        if not late or len(late) == len(tokens):
            return 1.0
        soon = (sum(tokens) - sum(late)) / (len(tokens) - len(late))
        return (ratio + (soon - sum(late) / len(late)) * self._share(len(late), len(tokens))) / soon

    def _share(self, few: int, sequences: int) -> float:
        """The time of a step of few of the sequences, in relation to one of all."""
        if few in self._steps:
            return min(1.0, self._steps[few] / self._steps[sequences])
        return max(0.0, 1.0 - (sequences - few) * _SUPPOSED)

    def _ratio(self, sequences: int, width: int) -> float:
        number, size = _kind(sequences, width)
        known = [wide for of, wide in self._ratios if of == number and wide <= size]
        nearest = max(known, default=0)
        ratio = self._ratios[number, nearest] if known else 1.0
        beyond = 0 if nearest == size else width - ((1 << nearest) - 1)
        return ratio + beyond * sequences * self._supposed


def _expected(count: int, share: float) -> float:
    """How many of `count` proposed tokens are accepted, if each is with this probability once those before it are."""
    return float(count) if share >= 1.0 else share * (1.0 - share**count) / (1.0 - share)


def _kind(sequences: int, width: int) -> tuple[int, int]:
    return (sequences - 1).bit_length(), width.bit_length()


def _mean(known: float | None, latest: float) -> float:
    return latest if known is None else known + _WEIGHT * (latest - known)
