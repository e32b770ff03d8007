"""Pictures of a request on their way into its prompt, on the intake thread and on those beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from providers.chat.types import ChatPrompt, Content, ImagePart, Prompt
from providers.engines.process.engine import TakesLong
from providers.engines.vision.pictures import Expansion, Expansions, Picture, Reading
from providers.engines.vision.templates import PictureMarks
from providers.errors import InvalidRequest

__all__ = ["PictureIntake"]


class PictureIntake:
    """Finds the tokens of pictures, and puts them into prompts. Threads may share it.

    A picture is a mark in the texts of a prompt until they are tokenised.
    """

    def __init__(
        self,
        read: Callable[[ImagePart], Reading],
        marks: PictureMarks,
        *,
        placeholder: str,
        image_text: str,
        image_token: int,
    ) -> None:
        """`read`: the model's processor. `placeholder`: the text that it looks for. `image_text`: the text of
        `image_token`, where a model reads pictures, with what stands around it."""
        self._read = read
        self._marks = marks
        self.placeholder = placeholder
        self._image_text = image_text
        self.reserved = tuple({placeholder, image_text.strip()})
        """Texts that stand for pictures, and that no text of a message may have."""
        self.image_token = image_token
        self._expansions = Expansions(image_token)

    def pictures(self, prompt: Prompt, *, may_wait: bool) -> tuple[Picture, ...]:
        """The pictures of a prompt, each once. Its text can be tokenised as long as they live.

        Raises:
            InvalidRequest: the model cannot read one.
            TakesLong: one is new, and the caller may not wait for the processor.
        """
        parts = {part.digest: part for part in _parts(prompt)}
        known = {digest: self._expansions.find(digest) for digest in parts}
        if not may_wait and None in known.values():
            raise TakesLong
        return tuple(self._picture(part, known[digest]) for digest, part in parts.items())

    def _picture(self, part: ImagePart, expansion: Expansion | None) -> Picture:
        if expansion is not None:
            return Picture(expansion=expansion, part=part)
        reading = self._read(part)
        return Picture(expansion=self._expansions.add(part.digest, reading), part=part, inputs=reading.inputs)

    def text(self, content: Content, plain: Callable[[str], str]) -> str:
        """The content of a turn as one text. `plain`: how texts in it are written."""
        return plain(content) if isinstance(content, str) else self._marks.text(content, plain)

    def tokens(self, text: str, encode: Callable[[str], list[int]], param: str) -> list[int]:
        """The tokens of a text, those of its pictures included.

        Raises:
            InvalidRequest: the text has the model's placeholder for pictures, or ends with a picture.
        """
        parts = self._marks.parts(text)
        if len(parts) == 1:
            return encode(text)
        ids = encode("".join([parts[0], *(self._image_text + after for after in parts[2::2])]))
        if ids.count(self.image_token) != len(parts) // 2:
            raise InvalidRequest(f"a text has {self.placeholder!r}, which stands for pictures", param=param)
        if ids[-1] == self.image_token:
            raise InvalidRequest("a prompt cannot end with a picture", param=param)
        digests = iter(parts[1::2])
        tokens: list[int] = []
        for id in ids:
            tokens += self._tokens_of(next(digests)) if id == self.image_token else (id,)
        return tokens

    def _tokens_of(self, digest: str) -> list[int]:
        expansion = self._expansions.find(digest)
        assert expansion is not None, "the request has the picture"
        return expansion.tokens.tolist()

    def shown(self, tokens: list[int]) -> list[int]:
        """The tokens with the model's image token in the place of virtual ids."""
        return [self.image_token if token < 0 else token for token in tokens]


def _parts(prompt: Prompt) -> Iterator[ImagePart]:
    if isinstance(prompt, ChatPrompt):
        for message in prompt.messages:
            if not isinstance(message.content, str | None):
                yield from (part for part in message.content if isinstance(part, ImagePart))
