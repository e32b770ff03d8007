"""`/v1/vector_stores`: stores of texts that can be searched."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import Ge, Le, MaxLen

from contracts._fields import EXPLICIT_NULL, Metadata
from contracts.bounds import MaxKeyLen
from contracts.parameters import honoured

__all__ = [
    "AutoChunkingStrategy",
    "ChunkSizes",
    "ChunkingStrategy",
    "CreateVectorStoreRequest",
    "DeletedVectorStore",
    "ExpiresAfter",
    "FileCounts",
    "FileId",
    "StaticChunkingStrategy",
    "StoreMetadata",
    "UpdateVectorStoreRequest",
    "VectorStore",
    "VectorStoreList",
]

FileId = Annotated[str, MaxLen(128)]
StoreMetadata = Annotated[Metadata, MaxKeyLen(64)]

_METADATA = honoured("Kept and returned.", otherwise="none")
_EXPIRES = honoured(
    "The texts of an expired store are deleted.",
    values="`anchor`: `last_active_at`, and `days`: 1 to 365",
    otherwise="the store does not expire",
)


@attrs.frozen(kw_only=True)
class ExpiresAfter:
    """When a store expires: `days` after it was last searched or changed."""

    anchor: Literal["last_active_at"]
    days: Annotated[int, Ge(1), Le(365)]


@attrs.frozen(kw_only=True)
class ChunkSizes:
    """The size of passages in the embedding model's tokens. The overlap is at most half of the size."""

    max_chunk_size_tokens: Annotated[int, Ge(100), Le(4_096)]
    chunk_overlap_tokens: Annotated[int, Ge(0), Le(2_048)]


@attrs.frozen(kw_only=True)
class AutoChunkingStrategy:
    """Passages of up to 800 tokens that overlap by 400, or less for models with a smaller context."""

    type: Literal["auto"]


@attrs.frozen(kw_only=True)
class StaticChunkingStrategy:
    """Passages of the given sizes, or less for models with a smaller context. A stored object has the sizes in use."""

    type: Literal["static"] = "static"
    static: ChunkSizes


ChunkingStrategy = AutoChunkingStrategy | StaticChunkingStrategy
CHUNKING = honoured(
    "A size over the embedding model's context is reduced to it, and the overlap to half of that; the stored file "
    "says what is in use.",
    values="`auto`, or `static` with `max_chunk_size_tokens` (100 to 4096) and `chunk_overlap_tokens`",
    otherwise="800 tokens with an overlap of 400",
)


@attrs.frozen(kw_only=True)
class CreateVectorStoreRequest:
    """A new store, and the files to put into it. Unknown fields are noted."""

    name: Annotated[str, MaxLen(256)] | None = attrs.field(default=None, metadata=honoured(otherwise="no name"))
    description: Annotated[str, MaxLen(512)] | None = attrs.field(
        default=None, metadata=honoured("Kept and returned.", otherwise="none")
    )
    file_ids: Annotated[list[FileId], MaxLen(500)] | None = attrs.field(
        default=None, metadata=honoured("Indexed in the background.", otherwise="an empty store")
    )
    chunking_strategy: ChunkingStrategy | None = attrs.field(default=None, metadata=CHUNKING)
    expires_after: ExpiresAfter | None = attrs.field(default=None, metadata=_EXPIRES)
    metadata: StoreMetadata | None = attrs.field(default=None, metadata=_METADATA)


@attrs.frozen(kw_only=True)
class UpdateVectorStoreRequest:
    """What to change; fields that are left out or null stay."""

    name: Annotated[str, MaxLen(256)] | None = attrs.field(default=None, metadata=honoured(otherwise="unchanged"))
    description: Annotated[str, MaxLen(512)] | None = attrs.field(
        default=None, metadata=honoured(otherwise="unchanged")
    )
    expires_after: ExpiresAfter | None = attrs.field(default=None, metadata=_EXPIRES)
    metadata: StoreMetadata | None = attrs.field(
        default=None, metadata=honoured("Replaces the earlier one.", otherwise="unchanged")
    )


@attrs.frozen(kw_only=True)
class FileCounts:
    """The number of files by status."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0


@attrs.frozen(kw_only=True)
class VectorStore:
    """A store. `in_progress`: some of its files are being indexed."""

    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    name: str
    description: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    usage_bytes: int
    file_counts: FileCounts
    status: Literal["in_progress", "completed", "expired"]
    expires_after: ExpiresAfter | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    expires_at: int | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    last_active_at: int
    metadata: dict[str, str]
    embedding_model: str
    """Extension: the model that embeds its texts and its queries."""


@attrs.frozen(kw_only=True)
class VectorStoreList:
    """A page of stores."""

    object: Literal["list"] = "list"
    data: list[VectorStore]
    first_id: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    last_id: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    has_more: bool = False


@attrs.frozen(kw_only=True)
class DeletedVectorStore:
    """The confirmation that a store is deleted. Its files stay."""

    id: str
    object: Literal["vector_store.deleted"] = "vector_store.deleted"
    deleted: bool = True
