"""Control tokens in the texts of a conversation, which stay text: `<|im_start|>` in a web page begins no turn."""

from __future__ import annotations

import contextlib
import itertools
import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["ControlTokens"]

_PROBE = [
    {"role": "user", "content": "a question"},
    {"role": "assistant", "content": "an answer"},
    {"role": "user", "content": "a question"},
]


class ControlTokens:
    """The tokens by which one tokenizer's chat template marks turns.

    `as_text` puts a mark inside each of them in a text, before the template renders it. `parts` cuts the rendered
    prompt at the marks. No part has a control token that the template did not write, and joined they are the prompt as
    it would be without marks. The mark is random, so that no text can have it.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._mark = f"\ufdd0{secrets.token_hex(8)}\ufdd1"
        self._begins = _begins(_control_tokens(tokenizer))

    def as_text(self, text: str) -> str:
        """The text with a mark inside each control token."""
        return text if self._begins is None else self._begins.sub(rf"\g<0>{self._mark}", text)

    def broken(self, text: str, token: str) -> str:
        """The text with a mark inside this token only."""
        return text.replace(token, f"{token[:1]}{self._mark}{token[1:]}")

    def parts(self, prompt: str) -> Sequence[str]:
        """The parts of a rendered prompt, each to be tokenised by itself."""
        return prompt.split(self._mark)


def _begins(tokens: Iterable[str]) -> re.Pattern[str] | None:
    """A pattern of first characters that the rest of a token follows: a mark after each breaks overlapping ones too.

    First characters come first, because `re` skips quickly to one of few characters.
    """
    tokens = sorted(token for token in tokens if len(token) > 1)
    if not tokens:
        return None
    branches = [
        f"{re.escape(first)}(?={'|'.join(re.escape(token[1:]) for token in group)})"
        for first, group in itertools.groupby(tokens, key=lambda token: token[0])
    ]
    return re.compile("|".join(branches))


def _control_tokens(tokenizer: Any) -> set[str]:
    """The special tokens, and other added tokens that the template writes around turns: DeepSeek's are not special."""
    added = list(getattr(tokenizer, "added_tokens_decoder", {}).values())
    tokens = {token.content for token in added if token.special}
    if getattr(tokenizer, "has_chat_template", False):
        with contextlib.suppress(Exception):  # templates may refuse any conversation
            written = str(tokenizer.apply_chat_template(_PROBE, tokenize=False, add_generation_prompt=True))
            tokens |= {token.content for token in added if token.content.strip() and token.content in written}
    return tokens
