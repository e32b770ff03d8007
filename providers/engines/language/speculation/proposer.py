"""What proposes tokens, and what it proposes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs
import mlx.core as mx

__all__ = ["Acceptance", "Proposal", "Proposer", "Text"]

_FADING = 0.9
"""Weight of earlier proposals against one that comes later: a text that begins to repeat itself is soon trusted."""


@attrs.frozen
class Text:
    """The text of a sequence, of which the last token is not computed yet."""

    uid: int
    known: list[int]
    """The tokens before the last one. The sequence owns the list."""
    token: int
    count: int
    """The most tokens that may be proposed."""


@attrs.frozen
class Proposal:
    """What may follow each of several texts."""

    tokens: mx.array
    """(texts, places), perhaps not evaluated. Where a text has fewer tokens, the rest is without meaning."""
    counts: list[int]
    """How many tokens of each text are proposed."""


class Proposer(Protocol):
    """Guesses how texts continue, each from its own tokens only."""

    @property
    def costly(self) -> bool:
        """Whether a guess takes time that only pays if it is used."""

    def follow(self, texts: Mapping[int, list[int]], *, single: bool) -> None:
        """Learn all texts for which tokens may be proposed, by uid, and forget others. A text only grows.

        `single`: whether there is no other sequence in the batch.
        """

    def promises(self, uid: int) -> bool:
        """Whether a guess is probably worth waiting for the next token, which is being computed."""

    def acceptance(self, uid: int) -> float:
        """Probability that a proposed token of this text is accepted, if those before it are."""

    def propose(self, texts: Sequence[Text]) -> Proposal | None:
        """Guess how these texts continue; None if there is no guess for any."""

    def settle(self, uid: int, proposed: list[int], accepted: int) -> None:
        """Learn how many tokens of a text's last proposal were accepted."""

    def reset(self) -> None:
        """Forget everything, after a step that failed."""


@attrs.define
class Acceptance:
    """Which share of proposed tokens is accepted, as far as it is known."""

    accepted: float = 0.3
    tried: float = 1.0

    @property
    def share(self) -> float:
        return self.accepted / self.tried

    def note(self, accepted: int, rejected: int) -> None:
        fading = _FADING ** (accepted + rejected)
        self.accepted = self.accepted * fading + accepted
        self.tried = self.tried * fading + accepted + rejected
