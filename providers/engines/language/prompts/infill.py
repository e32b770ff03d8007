"""Prompts that ask for the text between two others: fill-in-the-middle, by a tokenizer's own tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

__all__ = ["Infill", "find_infill"]


@attrs.frozen
class _Format:
    """The tokens of a family of models."""

    before: str
    after: str
    middle: str | None
    """None: the answer follows the text before the gap."""
    after_first: bool = False
    """Whether the text after the gap comes first."""


_FORMATS = (
    _Format("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen2.5-Coder, CodeGemma
    _Format("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder, Granite, StableCode
    _Format("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),  # SantaCoder
    _Format("\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>"),  # CodeLlama
    _Format("<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>"),  # DeepSeek
    _Format("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"),  # CodeGeeX
    _Format("<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>", after_first=True),  # Seed-Coder
    _Format("[PREFIX]", "[SUFFIX]", None, after_first=True),  # Codestral
)

_ENDS = (
    *("<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|file_separator|>", "<|endoftext|>"),
    *("<fim_pad>", "<file_sep>", "<repo_name>", "\u2581<EOT>", "<EOT>", "<\uff5cend\u2581of\u2581sentence\uff5c>"),
)
"""Tokens by which the models end what they fill in, beside those that end any answer."""


@attrs.frozen(kw_only=True)
class Infill:
    """How a tokenizer marks the parts."""

    before: int
    after: int
    middle: int | None
    after_first: bool
    ends: frozenset[int]

    def tokens(self, before: Sequence[int], after: Sequence[int]) -> list[int]:
        """The prompt for what lies between `before` and `after`, without the token that begins a sequence."""
        first, second = [self.before, *before], [self.after, *after]
        parts = [*second, *first] if self.after_first else [*first, *second]
        return parts if self.middle is None else [*parts, self.middle]


def find_infill(tokenizer: Any) -> Infill | None:
    """The format whose tokens the tokenizer has; None: it has none."""
    vocabulary: Mapping[str, int] = tokenizer.get_vocab()
    for format in _FORMATS:
        needed = [text for text in (format.before, format.after, format.middle) if text is not None]
        if all(text in vocabulary for text in needed):
            middle = None if format.middle is None else vocabulary[format.middle]
            marks = {vocabulary[text] for text in needed}
            return Infill(
                before=vocabulary[format.before],
                after=vocabulary[format.after],
                middle=middle,
                after_first=format.after_first,
                ends=frozenset(marks | {vocabulary[text] for text in _ENDS if text in vocabulary}),
            )
    return None
