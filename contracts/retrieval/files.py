"""`/v1/files`: what clients upload."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from annotated_types import Ge, Le

from contracts._fields import EXPLICIT_NULL
from contracts.parameters import honoured
from contracts.uploads import Upload

__all__ = ["CreateFileRequest", "DeletedFile", "FileExpiresAfter", "FileList", "FileObject", "Purpose"]

Purpose = Literal["assistants", "batch", "evals", "fine-tune", "user_data", "vision"]


@attrs.frozen(kw_only=True)
class FileExpiresAfter:
    """When a file is deleted: `seconds` after it was created."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Ge(3_600), Le(2_592_000)]


@attrs.frozen(kw_only=True)
class CreateFileRequest:
    """The fields of an upload, as `multipart/form-data`."""

    file: Upload = attrs.field(metadata=honoured("Up to `--max-upload`. It is kept as it is.", values="a file"))
    purpose: Purpose = attrs.field(metadata=honoured("A label. Vector stores take files of every purpose."))
    expires_after: FileExpiresAfter | None = attrs.field(
        default=None,
        metadata=honoured(
            "In forms: `expires_after[anchor]` and `expires_after[seconds]`.",
            values="`anchor`: `created_at`, and `seconds`: 3600 to 2592000",
            otherwise="the file stays until it is deleted",
        ),
    )


@attrs.frozen(kw_only=True)
class FileObject:
    """A file that was uploaded."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"


@attrs.frozen(kw_only=True)
class FileList:
    """A page of files."""

    object: Literal["list"] = "list"
    data: list[FileObject]
    first_id: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    last_id: str | None = attrs.field(default=None, metadata=EXPLICIT_NULL)
    has_more: bool = False


@attrs.frozen(kw_only=True)
class DeletedFile:
    """The confirmation that a file is deleted, with all that vector stores had of it."""

    id: str
    object: Literal["file"] = "file"
    deleted: bool = True
