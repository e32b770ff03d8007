"""Files and strategies of requests, from the wire to the domain."""

from __future__ import annotations

from contracts.retrieval.store_files import CreateVectorStoreFileBatchRequest, FileStatus
from contracts.retrieval.stores import ChunkingStrategy, StaticChunkingStrategy
from providers.errors import InvalidRequest
from server.retrieval.tables.rows import Strategy
from server.retrieval.vector_stores import NewFile

__all__ = ["batch_files", "file_status", "to_strategy"]

_STATUSES: tuple[FileStatus, ...] = ("in_progress", "completed", "failed", "cancelled")


def to_strategy(given: ChunkingStrategy | None, *, path: str = "chunking_strategy") -> Strategy:
    """Raises: InvalidRequest, where the overlap is more than half of the size."""
    if not isinstance(given, StaticChunkingStrategy):
        return Strategy()
    size, overlap = given.static.max_chunk_size_tokens, given.static.chunk_overlap_tokens
    if overlap > size // 2:
        param = f"{path}.static.chunk_overlap_tokens"
        raise InvalidRequest(f"{param}: must be at most half of max_chunk_size_tokens, {size // 2}", param=param)
    return Strategy(size, overlap)


def batch_files(request: CreateVectorStoreFileBatchRequest) -> list[NewFile]:
    """The files of a batch, each once.

    Raises:
        InvalidRequest: there is neither `file_ids` nor `files`, or both.
    """
    if (request.file_ids is None) == (request.files is None):
        raise InvalidRequest("file_ids: send either file_ids or files", param="file_ids")
    if request.files is None:
        strategy = to_strategy(request.chunking_strategy)
        given = [
            NewFile(id, request.attributes or {}, strategy, f"file_ids[{place}]")
            for place, id in enumerate(request.file_ids or ())
        ]
    else:
        given = [
            NewFile(
                file.file_id,
                file.attributes or {},
                to_strategy(file.chunking_strategy, path=f"files[{place}].chunking_strategy"),
                f"files[{place}].file_id",
            )
            for place, file in enumerate(request.files)
        ]
    return [*{file.id: file for file in given}.values()]


def file_status(filter: str | None) -> FileStatus | None:
    """Raises: InvalidRequest, where this is no status of a file."""
    if not filter:
        return None
    for status in _STATUSES:
        if filter == status:
            return status
    raise InvalidRequest(f"filter: expected one of {', '.join(map(repr, _STATUSES))}", param="filter")
