"""The texts of a batch in the caches of a draft model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from providers.engines.language.speculation.proposer import Proposal, Text
from providers.engines.process.mlx_lm_internals.cuts import keep_ahead

__all__ = ["DraftRows"]


@attrs.define
class _Reading:
    """A text whose first tokens the model reads, a chunk per step, before it joins the others."""

    cache: list[Any]
    read: int = 0


class DraftRows:
    """Reads several texts and continues them together. Texts that are read at different lengths lie in one batch."""

    def __init__(self, model: Any, *, vocabulary: int, limit: int, prefill_step: int) -> None:
        """The arguments are `DraftModel`'s."""
        self._model = model
        self._vocabulary = vocabulary
        self._limit = limit
        self._prefill_step = prefill_step
        self._layers: list[Any] = []
        self._read: dict[int, int] = {}
        """By uid, in the order of the caches: tokens of the text that they hold."""
        self._guessed = 0
        """Tokens in the caches after those, of the last proposal: settled in `_kept`."""
        self._kept: dict[int, int] = {}
        self._reading: dict[int, _Reading] = {}

    def __contains__(self, uid: int) -> bool:
        return uid in self._read

    def reset(self) -> None:
        self._layers = []
        self._read.clear()
        self._kept.clear()
        self._reading.clear()
        self._guessed = 0

    def join(self, uid: int, cache: list[Any], read: int) -> None:
        """Add a text, of which this cache of one sequence holds the first `read` tokens."""
        self._settle_all()
        joining = [layer.merge([layer]) for layer in cache]
        if self._read:
            for layer, other in zip(self._layers, joining, strict=True):
                layer.extend(other)
        else:
            self._layers = joining
        self._read[uid] = read

    def keep_only(self, texts: Mapping[int, list[int]]) -> None:
        """Forget all other texts."""
        self._reading = {uid: reading for uid, reading in self._reading.items() if uid in texts}
        gone = self._read.keys() - texts.keys()
        if len(gone) == len(self._read):
            self._layers, self._guessed = [], 0
            self._read.clear()
            self._kept.clear()
        elif gone:
            self._settle_all()
            places = [place for place, uid in enumerate(self._read) if uid not in gone]
            for layer in self._layers:
                layer.filter(places)
            self._read = {uid: read for uid, read in self._read.items() if uid not in gone}

    def propose(self, texts: Sequence[Text]) -> Proposal | None:
        """Continue the texts that are read up to their last token. Reads a chunk of others."""
        self._settle_all()
        self._read_one(texts)
        by_uid = {text.uid: text for text in texts}
        if not self._read:
            return None
        rows = [by_uid[uid] for uid in self._read]
        guess = self._feed(rows)
        limit = self._limit
        ready = [
            len(row.known) + 1 == read and read + row.count <= limit
            for row, read in zip(rows, self._read.values(), strict=True)
        ]
        if not any(ready):
            mx.async_eval(guess)  # type: ignore[no-untyped-call]
            return None
        count = max(row.count for row, is_ready in zip(rows, ready, strict=True) if is_ready)
        guesses = [guess]
        for _ in range(count - 1):
            logits = self._model(guesses[-1][:, None], cache=self._layers)
            guesses.append(self._likeliest(logits[:, -1]))
        self._guessed, self._kept = count - 1, {}
        places = {uid: place for place, uid in enumerate(self._read)}
        tokens = mx.stack(guesses, axis=1)[mx.array([places.get(text.uid, 0) for text in texts])]
        counts = [text.count if text.uid in places and ready[places[text.uid]] else 0 for text in texts]
        return Proposal(tokens, counts)

    def settle(self, uid: int, accepted: int) -> None:
        self._kept[uid] = min(accepted, self._guessed)

    def _feed(self, rows: list[Text]) -> mx.array:
        """Read the next tokens of each text, up to a chunk of them in all. Returns the likeliest token after them."""
        chunk = max(1, self._prefill_step // len(rows))
        reads = [*self._read.values()]
        news = [_after(row, read)[:chunk] for row, read in zip(rows, reads, strict=True)]
        longest = max(map(len, news))
        # This model reads no pictures: any token stands for theirs.
        padded = [[max(0, token) for token in new] + [0] * (longest - len(new)) for new in news]
        logits = self._model(mx.array(padded, dtype=mx.uint32), cache=self._layers)
        lengths = [*map(len, news)]
        keep_ahead(self._layers, reads, lengths, longest)
        self._read = {row.uid: read + length for row, read, length in zip(rows, reads, lengths, strict=True)}
        last = mx.array(lengths)[:, None, None] - 1
        return self._likeliest(mx.take_along_axis(logits, last, axis=1)[:, 0])

    def _read_one(self, texts: Sequence[Text]) -> None:
        """Read a chunk of the first text that is not among the others yet."""
        for text in texts:
            if text.uid not in self._read and len(text.known) + text.count < self._limit:
                reading = self._reading.setdefault(text.uid, _Reading(make_prompt_cache(self._model)))
                chunk = text.known[reading.read : reading.read + self._prefill_step]
                tokens = mx.array([[max(0, token) for token in chunk]], dtype=mx.uint32)
                self._model(tokens, cache=reading.cache)
                mx.async_eval([layer.state for layer in reading.cache])  # type: ignore[no-untyped-call]
                reading.read += len(chunk)
                if reading.read == len(text.known):
                    del self._reading[text.uid]
                    self.join(text.uid, reading.cache, reading.read)
                return

    def _settle_all(self) -> None:
        """Cut off the guesses that were not accepted."""
        if self._guessed:
            kept = [self._kept.get(uid, 0) for uid in self._read]
            keep_ahead(self._layers, [*self._read.values()], kept, self._guessed)
            self._read = {uid: read + more for (uid, read), more in zip(self._read.items(), kept, strict=True)}
            self._guessed = 0

    def _likeliest(self, logits: mx.array) -> mx.array:
        return mx.argmax(logits[:, : self._vocabulary], axis=-1)


def _after(text: Text, read: int) -> list[int]:
    return [*text.known[read:], text.token]
