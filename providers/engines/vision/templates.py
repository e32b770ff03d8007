"""Pictures in the messages of a chat template: a mark in a text on the way there, and in the prompt that comes back."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from providers.chat.types import ImagePart, TextPart

__all__ = ["PictureMarks", "PictureTemplate"]

_PROBE = "probe"


class PictureMarks:
    """Marks that stand for pictures in texts, by the digests of the pictures. They are random: no text can have one."""

    def __init__(self) -> None:
        begin, end = f"\ufdd0{secrets.token_hex(8)}:", "\ufdd1"
        self._form = begin + "{}" + end
        self._mark = re.compile(f"{begin}([0-9a-f]+){end}")

    def of(self, digest: str) -> str:
        return self._form.format(digest)

    def text(self, content: Sequence[TextPart | ImagePart], plain: Callable[[str], str]) -> str:
        """The parts of a message as one text. `plain`: how a text is written."""
        return "".join(self.of(part.digest) if isinstance(part, ImagePart) else plain(part.text) for part in content)

    def parts(self, text: str) -> list[str]:
        """Texts and digests by turns; first and last a text, perhaps empty."""
        return self._mark.split(text)


class PictureTemplate:
    """A tokenizer's `apply_chat_template` whose messages and prompts have marks instead of pictures.

    Templates that write pictures get lists of parts, and the placeholders that they write become marks again. In
    others the marks stay in the text. Some templates expect lists for every message, and write nothing of a string.
    """

    def __init__(
        self, render: Callable[..., Any], marks: PictureMarks, placeholder: str, *, lines: bool = False
    ) -> None:
        """Wrap a template.

        Args:
            render: the tokenizer's own function.
            placeholder: the text that the model's processor looks for.
            lines: whether each picture has a line of its own where the template writes no pictures.
        """
        self._render = render
        self._marks = marks
        self._placeholder = placeholder
        self._lines = lines
        self._only_lists = _PROBE not in self._probe(_PROBE)
        shown = self._probe([{"type": "image"}, {"type": "text", "text": _PROBE}])
        self._lists = shown.count(placeholder) == 1 and _PROBE in shown

    def _probe(self, content: Any) -> str:
        try:
            turns = [{"role": "user", "content": content}]
            return str(self._render(turns, tokenize=False, add_generation_prompt=True))
        except Exception:  # templates may refuse any conversation
            return ""

    def __call__(self, messages: Sequence[Mapping[str, Any]], *, tokenize: bool = False, **options: Any) -> Any:
        digests: list[str] = []
        turns = [self._turn(message, digests) for message in messages]
        prompt = self._render(turns, tokenize=tokenize, **options)
        if not digests:
            return prompt
        texts = str(prompt).split(self._placeholder)
        if len(texts) != len(digests) + 1:
            places = len(texts) - 1
            raise ValueError(f"it has places for {places} pictures in a conversation with {len(digests)}")
        marks = [*map(self._marks.of, digests), ""]
        return "".join(text + mark for text, mark in zip(texts, marks, strict=True))

    def _turn(self, message: Mapping[str, Any], digests: list[str]) -> dict[str, Any]:
        """The message in the form that the template expects. Adds the pictures in it to `digests`."""
        content = message.get("content")
        if not isinstance(content, str):
            return dict(message)
        parts = self._marks.parts(content)
        if not self._lists:
            content = self._in_lines(parts) if self._lines else content
            parts = [content]
        if len(parts) == 1 and not self._only_lists:
            return {**message, "content": content}
        digests += parts[1::2]
        made: list[dict[str, Any]] = [{"type": "text", "text": parts[0]}] if parts[0] or len(parts) == 1 else []
        for text in parts[2::2]:
            made.append({"type": "image"})
            made += [{"type": "text", "text": text}] if text else []
        return {**message, "content": made}

    def _in_lines(self, parts: Sequence[str]) -> str:
        """The content with a line break between each picture and what is behind it."""
        written = parts[0]
        for place in range(1, len(parts), 2):
            behind = parts[place + 1]
            breaks = (behind or place + 2 < len(parts)) and not behind.startswith("\n")
            written += self._marks.of(parts[place]) + ("\n" if breaks else "") + behind
        return written
