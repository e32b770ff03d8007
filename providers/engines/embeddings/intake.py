"""Checks embedding and reranking requests and turns them into rows of token ids. Runs on the intake thread."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from providers.embeddings.types import EmbeddingRequest, RerankRequest, Truncation
from providers.errors import ContextLengthExceeded, InvalidRequest, UnsupportedParameter
from providers.spec import ModelSpec

__all__ = ["EmbeddingIntake", "EmbeddingJob", "placeholders"]

COUNTED_CHARACTERS = 2_000_000
"""A longer text that cannot fit into the context is refused without counting its tokens: the tokenizer takes half a
second per million characters, while other requests wait."""
CHARACTERS_PER_TOKEN = 64
"""More than any tokenizer joins into one token, except for runs of spaces."""

_CUT = 'shorten it, send "truncate": "end", or start the server with --embeddings-truncate end'

_FOREIGN = (
    "Token ids must be the model's own: send text (LangChain's OpenAIEmbeddings does with "
    "check_embedding_ctx_length=False)"
)
_PLACEHOLDER = re.compile(r"[\[<|]+(?:unused|reserved_special_token)[_-]?\d+[\]>|]+")

Kind = Literal["embed", "cosine", "score"]


@attrs.define(eq=False)
class EmbeddingJob:
    """A request that passed every check. For `cosine`, the first row is the query."""

    id: str
    kind: Kind
    rows: list[list[int]]
    seconds: list[int]
    """The place where the second text of each row begins; the row's length if there is none."""
    dimensions: int

    @property
    def tokens(self) -> int:
        return sum(map(len, self.rows))


class EmbeddingIntake:
    """Checks and tokenizes requests for one model, without running it."""

    def __init__(
        self,
        tokenizer: Any,
        spec: ModelSpec,
        *,
        limit: int,
        vocabulary: int,
        dimensions: int,
        matryoshka: tuple[int, ...] | bool,
        prompts: dict[str, str],
        cross_encoder: bool,
    ) -> None:
        """`tokenizer`: one of transformers'. `limit`: the most tokens of a row, special ones included."""
        self._tokenizer = tokenizer
        self._name = spec.name
        self._limit = limit
        self._vocabulary = vocabulary
        self._placeholders = placeholders(tokenizer.get_vocab())
        self._dimensions = dimensions
        self._matryoshka = matryoshka
        self._prompts = prompts
        self._cross_encoder = cross_encoder

    def embedding(self, request: EmbeddingRequest) -> EmbeddingJob:
        """Check a request wholly.

        Raises:
            ServiceError: the error for the client.
        """
        if self._cross_encoder:
            raise InvalidRequest(f"{self._name} ranks documents for a query; it gives no embeddings", param="model")
        dimensions = self._checked_dimensions(request.dimensions)
        many = len(request.inputs) > 1
        paths = [f"input[{index}]" if many else "input" for index in range(len(request.inputs))]
        rows: list[list[int]] = [[]] * len(request.inputs)
        texts = [(index, given) for index, given in enumerate(request.inputs) if isinstance(given, str)]
        written = [text for _, text in texts]
        tokenized = self._tokenize(written, [paths[index] for index, _ in texts], truncate=request.truncate)
        for (index, _), tokens in zip(texts, tokenized, strict=True):
            rows[index] = tokens
        for index, given in enumerate(request.inputs):
            if not isinstance(given, str):
                rows[index] = self._checked_tokens(given, paths[index], truncate=request.truncate)
        return EmbeddingJob(request.id, "embed", rows, [*map(len, rows)], dimensions)

    def ranking(self, request: RerankRequest) -> EmbeddingJob:
        """Check a request wholly.

        Raises:
            ServiceError: the error for the client.
        """
        paths = [f"documents[{index}]" for index in range(len(request.documents))]
        if self._cross_encoder:
            return self._pairs(request, paths)
        query = self._prompts.get("query", "") + request.query
        prefix = self._prompts.get("document", self._prompts.get("passage", ""))
        (first,) = self._tokenize([query], ["query"], truncate="none")
        documents = [prefix + document for document in request.documents]
        rows = [first, *self._tokenize(documents, paths, truncate=request.truncate)]
        return EmbeddingJob(request.id, "cosine", rows, [*map(len, rows)], self._dimensions)

    def places(self, text: str) -> tuple[list[int], int]:
        """The place of each token's first character, without special tokens, and the room beside those.

        A tokenizer that does not know its tokens' places gives each word's place for all tokens of the word.

        Raises:
            InvalidRequest: the text is too long to count.
        """
        if len(text) > COUNTED_CHARACTERS:
            raise InvalidRequest(f"text: has {len(text)} characters; at most {COUNTED_CHARACTERS} are counted")
        room = max(1, self._limit - int(self._tokenizer.num_special_tokens_to_add()))
        options: dict[str, Any] = {"add_special_tokens": False, "truncation": False, "verbose": False}
        if self._tokenizer.is_fast:
            offsets = self._tokenizer(text, return_offsets_mapping=True, padding=False, **options)["offset_mapping"]
            return [int(start) for start, _ in offsets], room
        words = [*re.finditer(r"\S+", text)]
        rows = self._tokenizer([word[0] for word in words], padding=False, **options)["input_ids"] if words else []
        return [word.start() for word, row in zip(words, rows, strict=True) for _ in row], room

    def _pairs(self, request: RerankRequest, paths: list[str]) -> EmbeddingJob:
        (query,) = self._tokenize([request.query], ["query"], truncate="none", room=self._limit - 2)
        texts = [
            self._shortened(document, path, request.truncate)
            for document, path in zip(request.documents, paths, strict=True)
        ]
        how = self._truncation(request.truncate, "only_second", self._limit)
        rows = self._tokenizer([request.query] * len(texts), texts, verbose=False, **how)["input_ids"]
        for row, path in zip(rows, paths, strict=True):
            self._check_length(len(row), path, self._limit)
        # Every row begins with the query and its special tokens.
        return EmbeddingJob(request.id, "score", rows, [len(query)] * len(rows), 1)

    def _tokenize(
        self, texts: Sequence[str], paths: Sequence[str], *, truncate: Truncation, room: int | None = None
    ) -> list[list[int]]:
        if not texts:
            return []
        limit = self._limit if room is None else room
        shortened = [self._shortened(text, path, truncate) for text, path in zip(texts, paths, strict=True)]
        options = self._truncation(truncate, "longest_first", limit)
        rows: list[list[int]] = self._tokenizer(shortened, padding=False, verbose=False, **options)["input_ids"]
        for place, path in enumerate(paths):
            # An empty text of a tokenizer without special tokens has none; it is read as a separator or padding.
            row = rows[place] = rows[place] or [self._blank()]
            self._check_length(len(row), path, limit)
        return rows

    def _truncation(self, truncate: Truncation, strategy: str, limit: int) -> dict[str, Any]:
        """The tokenizer's options for cutting a text."""
        if truncate == "none":
            return {"truncation": False}
        self._tokenizer.truncation_side = "left" if truncate == "start" else "right"
        return {"truncation": strategy, "max_length": limit}

    def _blank(self) -> int:
        tokenizer = self._tokenizer
        known = (tokenizer.eos_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id)
        return next((token for token in known if token is not None), 0)

    def _shortened(self, text: str, path: str, truncate: Truncation) -> str:
        """The part of an overlong text that decides its first tokens, or its last where its start is removed.

        Raises:
            ContextLengthExceeded: it may not be cut and is too long to count.
        """
        size = self._limit * CHARACTERS_PER_TOKEN
        if truncate == "none" and len(text) > max(size, COUNTED_CHARACTERS):
            message = f"{path}: {len(text)} characters are more than a context of {self._limit} tokens can hold; {_CUT}"
            raise ContextLengthExceeded(message, param=path)
        while truncate != "none" and len(text) > size:
            part = text[-size:] if truncate == "start" else text[:size]
            # A cut changes the tokens of the word at it, which is far from the limit here.
            if len(self._tokenizer(part, truncation=False, verbose=False)["input_ids"]) > 2 * self._limit:
                return part
            size *= 4
        return text

    def _check_length(self, count: int, path: str, limit: int) -> None:
        if count > limit:
            raise ContextLengthExceeded(
                f"{path}: {self._name}'s maximum context length is {limit} tokens, however you requested {count} "
                f"tokens; {_CUT}",
                param=path,
            )

    def _checked_tokens(self, tokens: list[int], path: str, *, truncate: Truncation) -> list[int]:
        worst = max(tokens) if min(tokens) >= 0 else min(tokens)
        if not 0 <= worst < self._vocabulary:
            where = f"{path}[{tokens.index(worst)}]"
            raise InvalidRequest(
                f"{where}: token id {worst} is not in the vocabulary of {self._vocabulary}. {_FOREIGN}", param=where
            )
        if (foreign := next(filter(self._placeholders.__contains__, tokens), None)) is not None:
            where = f"{path}[{tokens.index(foreign)}]"
            raise InvalidRequest(
                f"{where}: token id {foreign} is one that {self._name}'s tokenizer makes of no text. {_FOREIGN}",
                param=where,
            )
        if truncate != "none":
            return tokens[-self._limit :] if truncate == "start" else tokens[: self._limit]
        self._check_length(len(tokens), path, self._limit)
        return tokens

    def _checked_dimensions(self, asked: int | None) -> int:
        full = self._dimensions
        if asked is None or asked == full:
            return full
        if not self._matryoshka:
            message = f"dimensions: {self._name} was not trained to be cut; its vectors have {full} dimensions"
            raise UnsupportedParameter(message, param="dimensions")
        allowed = self._matryoshka
        if asked > full or (isinstance(allowed, tuple) and asked not in allowed):
            sizes = ", ".join(map(str, allowed)) if isinstance(allowed, tuple) else f"1 to {full}"
            raise InvalidRequest(f"dimensions: {asked} is not one of {self._name}'s: {sizes}", param="dimensions")
        return asked


def placeholders(vocabulary: Mapping[str, int]) -> frozenset[int]:
    """The ids that stand for no text, such as BERT's `[unused12]`.

    They reveal ids of another tokenizer, whose most frequent ones are the smallest: "." and " the" of OpenAI's are 13
    and 279, where BERT has a thousand of these.
    """
    return frozenset(id for token, id in vocabulary.items() if _PLACEHOLDER.fullmatch(token))
