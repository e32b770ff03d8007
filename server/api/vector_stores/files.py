"""`/v1/vector_stores/{id}/files` and `/file_batches`."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, delete, get, post
from litestar.params import JSONBody, Parameter

from contracts.retrieval.store_files import (
    CreateVectorStoreFileBatchRequest,
    CreateVectorStoreFileRequest,
    DeletedVectorStoreFile,
    FileContent,
    FileContentPage,
    UpdateVectorStoreFileRequest,
    VectorStoreFile,
    VectorStoreFileBatch,
    VectorStoreFileList,
)
from providers.errors import InvalidRequest
from server.api.error_responses import OF_FILES, OF_STORED, errors
from server.api.page_request import After, Before, Limit, Order, page_request
from server.api.vector_stores import response
from server.api.vector_stores.controller import StoreId
from server.api.vector_stores.request import batch_files, file_status, to_strategy
from server.dependencies import RetrievalDependency
from server.guards import json_body
from server.retrieval.vector_stores import NewFile

__all__ = ["StoreBatchesController", "StoreFilesController"]

FileId = Annotated[str, Parameter(description="The file's id.")]
BatchId = Annotated[str, Parameter(description="The batch's id.")]
Status = Annotated[
    str | None,
    Parameter(
        description="Only files of this status.",
        schema_extra={"enum": ["in_progress", "completed", "failed", "cancelled"]},
    ),
]


class StoreFilesController(Controller):
    path = "/v1/vector_stores/{vector_store_id:str}/files"
    tags = ("Vector stores",)

    @post(
        before_request=json_body,
        status_code=200,
        operation_id="createVectorStoreFile",
        name="vector_stores.files.create",
        summary="Put a file or a text into a vector store",
        responses=errors(*OF_FILES),
    )
    async def create(
        self, vector_store_id: StoreId, data: JSONBody[CreateVectorStoreFileRequest], retrieval: RetrievalDependency
    ) -> VectorStoreFile:
        strategy = to_strategy(data.chunking_strategy)
        if (data.file_id is None) == (data.text is None):
            raise InvalidRequest("file_id: send either file_id or text", param="file_id")
        file_id = data.file_id
        if file_id is None:
            await retrieval.stores.get(vector_store_id)
            file_id = (await retrieval.files.add_text(data.text or "", data.filename or "text.txt")).id
        elif data.filename is not None:
            raise InvalidRequest("filename: only allowed with text; a file keeps its own name", param="filename")
        file = NewFile(file_id, data.attributes or {}, strategy)
        return response.store_file(await retrieval.stores.add_file(vector_store_id, file))

    @get(
        operation_id="listVectorStoreFiles",
        name="vector_stores.files.list",
        summary="List the files of a vector store",
        responses=errors(*OF_STORED),
    )
    async def page(
        self,
        vector_store_id: StoreId,
        retrieval: RetrievalDependency,
        limit: Limit = "20",
        order: Order = "desc",
        after: After = None,
        before: Before = None,
        filter: Status = None,
    ) -> VectorStoreFileList:
        asked = page_request(limit, order, after, before)
        return response.store_files(await retrieval.stores.files(vector_store_id, asked, status=file_status(filter)))

    @get(
        "/{file_id:str}",
        operation_id="getVectorStoreFile",
        name="vector_stores.files.retrieve",
        summary="Describe a file of a vector store",
        responses=errors(*OF_STORED),
    )
    async def retrieve(
        self, vector_store_id: StoreId, file_id: FileId, retrieval: RetrievalDependency
    ) -> VectorStoreFile:
        return response.store_file(await retrieval.stores.file(vector_store_id, file_id))

    @post(
        "/{file_id:str}",
        before_request=json_body,
        status_code=200,
        operation_id="updateVectorStoreFileAttributes",
        name="vector_stores.files.update",
        summary="Replace the attributes of a file of a vector store",
        responses=errors(*OF_FILES),
    )
    async def update(
        self,
        vector_store_id: StoreId,
        file_id: FileId,
        data: JSONBody[UpdateVectorStoreFileRequest],
        retrieval: RetrievalDependency,
    ) -> VectorStoreFile:
        row = await retrieval.stores.set_attributes(vector_store_id, file_id, data.attributes or {})
        return response.store_file(row)

    @delete(
        "/{file_id:str}",
        status_code=200,
        operation_id="deleteVectorStoreFile",
        name="vector_stores.files.delete",
        summary="Take a file out of a vector store; the file itself stays",
        responses=errors(*OF_STORED),
    )
    async def delete(
        self, vector_store_id: StoreId, file_id: FileId, retrieval: RetrievalDependency
    ) -> DeletedVectorStoreFile:
        await retrieval.stores.remove_file(vector_store_id, file_id)
        return DeletedVectorStoreFile(id=file_id)

    @get(
        "/{file_id:str}/content",
        operation_id="retrieveVectorStoreFileContent",
        name="vector_stores.files.content",
        summary="Return the text of a file as it was indexed",
        responses=errors(*OF_STORED),
    )
    async def content(
        self, vector_store_id: StoreId, file_id: FileId, retrieval: RetrievalDependency
    ) -> FileContentPage:
        return FileContentPage(data=[FileContent(text=await retrieval.stores.text(vector_store_id, file_id))])


class StoreBatchesController(Controller):
    path = "/v1/vector_stores/{vector_store_id:str}/file_batches"
    tags = ("Vector stores",)

    @post(
        before_request=json_body,
        status_code=200,
        operation_id="createVectorStoreFileBatch",
        name="vector_stores.file_batches.create",
        summary="Put several files into a vector store",
        responses=errors(*OF_FILES),
    )
    async def create(
        self,
        vector_store_id: StoreId,
        data: JSONBody[CreateVectorStoreFileBatchRequest],
        retrieval: RetrievalDependency,
    ) -> VectorStoreFileBatch:
        return response.batch(await retrieval.stores.add_batch(vector_store_id, batch_files(data)))

    @get(
        "/{batch_id:str}",
        operation_id="getVectorStoreFileBatch",
        name="vector_stores.file_batches.retrieve",
        summary="Describe a batch of files",
        responses=errors(*OF_STORED),
    )
    async def retrieve(
        self, vector_store_id: StoreId, batch_id: BatchId, retrieval: RetrievalDependency
    ) -> VectorStoreFileBatch:
        return response.batch(await retrieval.stores.batch(vector_store_id, batch_id))

    @post(
        "/{batch_id:str}/cancel",
        status_code=200,
        operation_id="cancelVectorStoreFileBatch",
        name="vector_stores.file_batches.cancel",
        summary="Cancel the files of a batch that are not indexed yet",
        responses=errors(*OF_STORED),
    )
    async def cancel(
        self, vector_store_id: StoreId, batch_id: BatchId, retrieval: RetrievalDependency
    ) -> VectorStoreFileBatch:
        return response.batch(await retrieval.stores.cancel_batch(vector_store_id, batch_id))

    @get(
        "/{batch_id:str}/files",
        operation_id="listFilesInVectorStoreBatch",
        name="vector_stores.file_batches.files",
        summary="List the files of a batch",
        responses=errors(*OF_STORED),
    )
    async def files(
        self,
        vector_store_id: StoreId,
        batch_id: BatchId,
        retrieval: RetrievalDependency,
        limit: Limit = "20",
        order: Order = "desc",
        after: After = None,
        before: Before = None,
        filter: Status = None,
    ) -> VectorStoreFileList:
        asked = page_request(limit, order, after, before)
        page = await retrieval.stores.files(vector_store_id, asked, status=file_status(filter), batch_id=batch_id)
        return response.store_files(page)
