"""`/v1/vector_stores`, and the search in one."""

from __future__ import annotations

import json
from typing import Annotated, Any

from litestar import Controller, Request, delete, get, post
from litestar.params import JSONBody, Parameter

from contracts.retrieval.search import VectorStoreSearchRequest, VectorStoreSearchResultsPage
from contracts.retrieval.stores import (
    CreateVectorStoreRequest,
    DeletedVectorStore,
    UpdateVectorStoreRequest,
    VectorStore,
    VectorStoreList,
)
from server.api.error_responses import ANSWERING, OF_FILES, OF_STORED, errors
from server.api.page_request import After, Before, Limit, Order, page_request
from server.api.refusals import check_deeply
from server.api.vector_stores import response
from server.api.vector_stores.request import to_strategy
from server.dependencies import RetrievalDependency, ServiceDependency
from server.guards import json_body
from server.retrieval.vector_stores import NewFile

__all__ = ["StoreId", "VectorStoresController"]

StoreId = Annotated[str, Parameter(description="The vector store's id.")]


class VectorStoresController(Controller):
    path = "/v1/vector_stores"
    tags = ("Vector stores",)

    @post(
        before_request=json_body,
        status_code=200,
        operation_id="createVectorStore",
        name="vector_stores.create",
        summary="Create a vector store",
        responses=errors(*OF_FILES, 501),
    )
    async def create(self, data: JSONBody[CreateVectorStoreRequest], retrieval: RetrievalDependency) -> VectorStore:
        strategy = to_strategy(data.chunking_strategy)
        ids = [*dict.fromkeys(data.file_ids or ())]
        row = await retrieval.stores.create(
            name=data.name or "",
            description=data.description,
            metadata=data.metadata or {},
            days=None if data.expires_after is None else data.expires_after.days,
            files=[NewFile(id, strategy=strategy, path="file_ids") for id in ids],
        )
        return response.store(row)

    @get(
        operation_id="listVectorStores",
        name="vector_stores.list",
        summary="List the vector stores",
        responses=errors(*OF_STORED),
    )
    async def page(
        self,
        retrieval: RetrievalDependency,
        limit: Limit = "20",
        order: Order = "desc",
        after: After = None,
        before: Before = None,
    ) -> VectorStoreList:
        return response.stores(await retrieval.stores.page(page_request(limit, order, after, before)))

    @get(
        "/{vector_store_id:str}",
        operation_id="getVectorStore",
        name="vector_stores.retrieve",
        summary="Describe a vector store",
        responses=errors(*OF_STORED),
    )
    async def retrieve(self, vector_store_id: StoreId, retrieval: RetrievalDependency) -> VectorStore:
        return response.store(await retrieval.stores.get(vector_store_id))

    @post(
        "/{vector_store_id:str}",
        before_request=json_body,
        status_code=200,
        operation_id="modifyVectorStore",
        name="vector_stores.update",
        summary="Change a vector store's name, metadata or expiry",
        responses=errors(*OF_FILES),
    )
    async def update(
        self, vector_store_id: StoreId, data: JSONBody[UpdateVectorStoreRequest], retrieval: RetrievalDependency
    ) -> VectorStore:
        changes = {
            "name": data.name,
            "description": data.description,
            "metadata": None if data.metadata is None else json.dumps(data.metadata),
            "days": None if data.expires_after is None else data.expires_after.days,
        }
        given = {name: value for name, value in changes.items() if value is not None}
        return response.store(await retrieval.stores.update(vector_store_id, given))

    @delete(
        "/{vector_store_id:str}",
        status_code=200,
        operation_id="deleteVectorStore",
        name="vector_stores.delete",
        summary="Delete a vector store; its files stay",
        responses=errors(*OF_STORED),
    )
    async def delete(self, vector_store_id: StoreId, retrieval: RetrievalDependency) -> DeletedVectorStore:
        await retrieval.stores.delete(vector_store_id)
        return DeletedVectorStore(id=vector_store_id)

    @post(
        "/{vector_store_id:str}/search",
        before_request=json_body,
        status_code=200,
        operation_id="searchVectorStore",
        name="vector_stores.search",
        summary="Find the passages of a vector store that fit a query",
        responses=errors(*ANSWERING),
    )
    async def search(
        self,
        request: Request[Any, Any, Any],
        vector_store_id: StoreId,
        data: JSONBody[VectorStoreSearchRequest],
        retrieval: RetrievalDependency,
        service: ServiceDependency,
    ) -> VectorStoreSearchResultsPage:
        check_deeply(data)
        queries = [data.query] if isinstance(data.query, str) else data.query
        ranking = data.ranking_options
        async with service.answering(request.receive):
            passages = await retrieval.search(
                [vector_store_id],
                queries,
                max_results=data.max_num_results or 10,
                filters=data.filters,
                score_threshold=0.0 if ranking is None else ranking.score_threshold or 0.0,
            )
        return response.search_results(queries, passages)
