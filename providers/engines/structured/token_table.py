"""A model's tokens as llguidance reads them."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Sequence
from typing import Any

import msgspec
from llguidance import LLTokenizer

from providers.engines.structured.grammar_text import Markers
from providers.errors import UnsupportedParameter

__all__ = ["TokenTable", "describe"]

logger = logging.getLogger(__name__)


class TokenTable(msgspec.Struct, dict=True, eq=False):
    """The description of a tokenizer, and what llguidance builds from it: about 0.5 s on the first use."""

    tokenizer: str
    """JSON, as the library `tokenizers` writes it."""
    size: int
    """Ids, those that only the tokenizer has included."""
    ends: list[int]
    added: dict[str, int]

    @functools.cached_property
    def llg(self) -> LLTokenizer:
        """The table.

        Raises:
            UnsupportedParameter: this model's tokenizer does not allow constraints.
        """
        try:
            return LLTokenizer(self.tokenizer, n_vocab=self.size, eos_token=self.ends)
        except ValueError as error:
            logger.warning("the tokenizer does not allow constrained output: %s", error)
            raise _unsupported() from error

    @functools.cached_property
    def markers(self) -> Markers:
        """The special tokens. Raises the errors of `llg`."""
        return Markers({token: id for token, id in self.added.items() if self.llg.is_special_token(id)})


def describe(tokenizer: Any, n_vocab: int, ends: Sequence[int]) -> TokenTable:
    """The table of a tokenizer.

    Raises:
        UnsupportedParameter: this model's tokenizer does not allow constraints.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not ends:
        raise _unsupported()
    described = json.loads(backend.to_str())
    # Padding and truncation are settings of the last request, not part of the vocabulary.
    described["padding"] = described["truncation"] = None
    size = max(n_vocab, backend.get_vocab_size(with_added_tokens=True))
    size = max(size, max(backend.get_vocab(with_added_tokens=True).values(), default=0) + 1)
    added = {token.content: id for id, token in backend.get_added_tokens_decoder().items()}
    return TokenTable(json.dumps(described), size, list(ends), added)


def _unsupported() -> UnsupportedParameter:
    return UnsupportedParameter("this model's tokenizer does not allow constrained output")
