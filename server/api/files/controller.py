"""`/v1/files`."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, MediaType, Response, delete, get, post
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import MultipartBody, Parameter

from contracts.retrieval.files import CreateFileRequest, DeletedFile, FileList, FileObject
from server.api.error_responses import OF_FILES, OF_STORED, errors
from server.api.page_request import After, Order, page_request
from server.dependencies import RetrievalDependency
from server.forms import FormDTO
from server.retrieval.tables.rows import FileRow
from server.streaming.file import FileStream
from server.streaming.response import StreamResponse

__all__ = ["FilesController"]

MAX_PAGE = 10_000
_LIMIT = {"type": OpenAPIType.INTEGER, "minimum": 1, "maximum": MAX_PAGE, "default": MAX_PAGE}

FileId = Annotated[str, Parameter(description="The file's id.")]


class FilesController(Controller):
    path = "/v1/files"
    tags = ("Files",)

    @post(
        dto=FormDTO[CreateFileRequest],
        status_code=200,
        media_type=MediaType.JSON,
        operation_id="createFile",
        name="files.create",
        summary="Upload a file",
        responses=errors(*OF_FILES),
    )
    async def create(self, data: MultipartBody[CreateFileRequest], retrieval: RetrievalDependency) -> FileObject:
        seconds = None if data.expires_after is None else data.expires_after.seconds
        try:
            row = await retrieval.files.add(data.file, data.file.filename, data.purpose, seconds=seconds)
        finally:
            data.file.close()
        return _file(row)

    @get(
        operation_id="listFiles",
        name="files.list",
        summary="List the uploaded files",
        responses=errors(*OF_STORED),
    )
    async def page(
        self,
        retrieval: RetrievalDependency,
        purpose: Annotated[str | None, Parameter(description="Only files of this purpose.")] = None,
        limit: Annotated[str, Parameter(description="The number of files.", schema_extra=_LIMIT)] = str(MAX_PAGE),
        order: Order = "desc",
        after: After = None,
    ) -> FileList:
        asked = page_request(limit, order, after, max_limit=MAX_PAGE)
        page = await retrieval.files.page(asked, purpose=purpose)
        data = [_file(row) for row in page.rows]
        return FileList(
            data=data,
            first_id=data[0].id if data else None,
            last_id=data[-1].id if data else None,
            has_more=page.has_more,
        )

    @get(
        "/{file_id:str}",
        operation_id="retrieveFile",
        name="files.retrieve",
        summary="Describe an uploaded file",
        responses=errors(*OF_STORED),
    )
    async def retrieve(self, file_id: FileId, retrieval: RetrievalDependency) -> FileObject:
        return _file(await retrieval.files.get(file_id))

    @get(
        "/{file_id:str}/content",
        operation_id="downloadFile",
        name="files.content",
        summary="Return the content of an uploaded file",
        media_type="application/octet-stream",
        responses=errors(*OF_STORED),
    )
    async def content(self, file_id: FileId, retrieval: RetrievalDependency) -> Response[bytes]:
        row = await retrieval.files.get(file_id)
        return StreamResponse(await FileStream.of(await retrieval.files.path(file_id), row.filename))

    @delete(
        "/{file_id:str}",
        status_code=200,
        operation_id="deleteFile",
        name="files.delete",
        summary="Delete a file, also from every vector store",
        responses=errors(*OF_STORED),
    )
    async def delete(self, file_id: FileId, retrieval: RetrievalDependency) -> DeletedFile:
        await retrieval.files.delete(file_id)
        return DeletedFile(id=file_id)


def _file(row: FileRow) -> FileObject:
    return FileObject(
        id=row.id,
        bytes=row.bytes,
        created_at=row.created,
        expires_at=row.expires,
        filename=row.filename,
        purpose=row.purpose,
    )
