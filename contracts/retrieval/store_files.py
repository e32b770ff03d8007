"""`/v1/vector_stores/{id}/files` and `/file_batches`: files in a store."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import MaxLen, MinLen

from contracts._fields import EXPLICIT_NULL
from contracts.parameters import honoured
from contracts.retrieval.filters import Attributes
from contracts.retrieval.stores import CHUNKING, ChunkingStrategy, FileCounts, FileId, StaticChunkingStrategy

__all__ = [
    "BatchFile",
    "CreateVectorStoreFileBatchRequest",
    "CreateVectorStoreFileRequest",
    "DeletedVectorStoreFile",
    "ErrorCode",
    "FileContent",
    "FileContentPage",
    "FileStatus",
    "LastError",
    "UpdateVectorStoreFileRequest",
    "VectorStoreFile",
    "VectorStoreFileBatch",
    "VectorStoreFileList",
]

FileStatus = Literal["in_progress", "completed", "cancelled", "failed"]
ErrorCode = Literal["server_error", "unsupported_file", "invalid_file"]
MAX_BATCH = 2_000

_ATTRIBUTES = honoured(
    "Searches choose files by them.",
    values="up to 16 texts of up to 512 characters, numbers and booleans, keys of up to 64",
    otherwise="none",
)


@attrs.frozen(kw_only=True)
class CreateVectorStoreFileRequest:
    """A file or a text to put into a store: either `file_id` or `text`. Unknown fields are noted."""

    file_id: FileId | None = attrs.field(
        default=None, metadata=honoured("A file that is in the store already is indexed again.", otherwise="`text`")
    )
    attributes: Attributes | None = attrs.field(default=None, metadata=_ATTRIBUTES)
    chunking_strategy: ChunkingStrategy | None = attrs.field(default=None, metadata=CHUNKING)

    # Extensions.
    text: Annotated[str, MinLen(1)] | None = attrs.field(
        default=None, metadata=honoured("Extension. Kept as a file of its own.", otherwise="`file_id`")
    )
    filename: Annotated[str, MinLen(1), MaxLen(255)] | None = attrs.field(
        default=None, metadata=honoured("Extension. The name of the file that `text` becomes.", default="text.txt")
    )


@attrs.frozen(kw_only=True)
class UpdateVectorStoreFileRequest:
    """The new attributes of a file; they replace the earlier ones."""

    attributes: Attributes | None = attrs.field(metadata=honoured(values="as of a new file; null: none"))


@attrs.frozen(kw_only=True)
class BatchFile:
    """A file of a batch with attributes and sizes of its own."""

    file_id: FileId
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategy | None = None


@attrs.frozen(kw_only=True)
class CreateVectorStoreFileBatchRequest:
    """Files to put into a store together: either `file_ids` or `files`."""

    file_ids: Annotated[list[FileId], MinLen(1), MaxLen(MAX_BATCH)] | None = attrs.field(
        default=None, metadata=honoured(otherwise="`files`")
    )
    files: Annotated[list[BatchFile], MinLen(1), MaxLen(MAX_BATCH)] | None = attrs.field(
        default=None,
        metadata=honoured(
            values="up to 2000 objects with `file_id`, `attributes` and `chunking_strategy`", otherwise="`file_ids`"
        ),
    )
    attributes: Attributes | None = attrs.field(default=None, metadata=_ATTRIBUTES)
    chunking_strategy: ChunkingStrategy | None = attrs.field(default=None, metadata=CHUNKING)


@attrs.frozen(kw_only=True)
class LastError:
    """Why a file could not be indexed."""

    code: ErrorCode
    message: str


@attrs.frozen(kw_only=True)
class VectorStoreFile:
    """A file in a store. `usage_bytes` are those of its text and vectors."""

    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    created_at: int
    vector_store_id: str
    status: FileStatus
    last_error: LastError | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    usage_bytes: int
    attributes: Attributes
    chunking_strategy: StaticChunkingStrategy


@attrs.frozen(kw_only=True)
class VectorStoreFileList:
    """A page of the files of a store."""

    object: Literal["list"] = "list"
    data: list[VectorStoreFile]
    first_id: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    last_id: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    has_more: bool = False


@attrs.frozen(kw_only=True)
class DeletedVectorStoreFile:
    """The confirmation that a file is out of the store. The file itself stays."""

    id: str
    object: Literal["vector_store.file.deleted"] = "vector_store.file.deleted"
    deleted: bool = True


@attrs.frozen(kw_only=True)
class FileContent:
    """The text of a file."""

    type: Literal["text"] = "text"
    text: str


@attrs.frozen(kw_only=True)
class FileContentPage:
    """The text of a file as it was indexed, in one page."""

    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"
    data: list[FileContent]
    has_more: bool = False
    next_page: None = attrs.field(default=None, metadata=EXPLICIT_NULL)


@attrs.frozen(kw_only=True)
class VectorStoreFileBatch:
    """Files that were put into a store together."""

    id: str
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
    created_at: int
    vector_store_id: str
    status: FileStatus
    file_counts: FileCounts
