"""`/v1/realtime`: the WebSocket, and keys for its clients."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import attrs
from litestar import Controller, MediaType, Request, Response, WebSocket, get, post, websocket
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import JSONBody, SkipValidation

from contracts.realtime.secrets import ClientSecret, CreateClientSecretRequest, ExpiresAfter
from contracts.realtime.session import RealtimeSession, RealtimeSessionConfig
from providers.chat.protocol import CHAT, ChatProvider
from providers.errors import InvalidApiKey, ServiceError
from providers.speech.protocol import SPEECH
from providers.transcription.protocol import TRANSCRIPTION
from server.api.error_responses import errors
from server.api.generation.parts.pictures import reads_pictures
from server.api.realtime.answering import check_voice
from server.api.realtime.connection import Admit, Connection
from server.api.realtime.hub import Hub
from server.api.realtime.session import Abilities, Session, error_event
from server.api.realtime.settings import default_config, updated
from server.cache_scope import current_scope, enter_scope
from server.dependencies import Service, ServiceDependency
from server.errors import as_service_error
from server.guards import OPEN, given_keys, json_body
from server.serialization import encode_contract

__all__ = ["RealtimeController"]

HubDependency = NamedDependency[SkipValidation[Hub]]

_PROTOCOL = "realtime"
_KEY_PROTOCOL = "openai-insecure-api-key."
"""Browsers cannot set headers of a WebSocket: the key comes as a subprotocol."""
_UNAUTHORIZED = 3000
_REFUSED = 1008


class UpgradeRequired(HTTPException):
    """The address is a WebSocket's."""

    status_code = 426


class RealtimeController(Controller):
    path = "/v1/realtime"
    tags = ("Realtime",)

    @websocket(opt={OPEN: True}, name="realtime.connect")
    async def connect(self, socket: WebSocket[Any, Any, Any], service: ServiceDependency, hub: HubDependency) -> None:
        """One session. Query: `model`, `session_id` (resumes a session), `intent=transcription`."""
        if not hub.allows(socket.headers.get("origin"), socket.headers.get("host")):
            await socket.close(_REFUSED, "origin not allowed; start the server with --cors-origins")
            return
        offered: Sequence[str] = socket.scope.get("subprotocols") or ()
        await socket.accept(subprotocols=_PROTOCOL if _PROTOCOL in offered else None)
        try:
            session, chat, scope, admit = _open(socket, offered, service, hub)
        except Exception as error:
            await _refuse(socket, as_service_error(error))
            return
        try:
            await Connection(session, chat, service, socket.receive, socket.send, hub.limits, admit).run()
        finally:
            hub.keep(session, chat.spec.name, scope)

    @get(include_in_schema=False, name="realtime.upgrade")
    async def upgrade(self) -> None:
        """Say what the address is, to a client that sends a request."""
        raise UpgradeRequired(
            "/v1/realtime is a WebSocket; send a handshake", headers={"upgrade": "websocket", "connection": "upgrade"}
        )

    @post(
        "/client_secrets",
        guards=(json_body,),
        status_code=200,
        media_type=MediaType.JSON,
        operation_id="createRealtimeClientSecret",
        name="realtime.client_secrets.create",
        summary="Create a key for a client of /v1/realtime",
        description="`GET /v1/realtime` opens a WebSocket. The key, in place of the server's, opens sessions with "
        "these settings.",
        responses=errors(400, 404, 500),
    )
    async def create_secret(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[CreateClientSecretRequest],
        service: ServiceDependency,
        hub: HubDependency,
    ) -> Response[ClientSecret]:
        given = data.session or {}
        kind: Literal["realtime", "transcription"] = (
            "transcription" if given.get("type") == "transcription" else "realtime"
        )
        model = given.get("model")
        chat = service.registry.find(CHAT, model if isinstance(model, str) else "")
        config = updated(_defaults(kind, chat, service), given)
        await check_voice(config, service)
        seconds = (data.expires_after or ExpiresAfter()).seconds
        client = "" if hub.requests is None else hub.requests.client(request, given_keys(request.headers))
        secret = hub.new_secret(config, seconds, current_scope(), client)
        fields = {name: getattr(config, name) for name in attrs.fields_dict(RealtimeSessionConfig)}
        session = RealtimeSession(id=Session(config, _abilities(chat, service, hub)).id, **fields)
        return Response(ClientSecret(value=secret.value, expires_at=int(secret.expires_at), session=session))


def _open(
    socket: WebSocket[Any, Any, Any], offered: Sequence[str], service: Service, hub: Hub
) -> tuple[Session, ChatProvider, str, Admit | None]:
    """The session of a connection, its model, the scope of its prompts, and what counts its responses.

    Raises:
        InvalidApiKey, ModelNotFound, NotFound, ExtraNotInstalled.
    """
    keys = [*given_keys(socket.headers)]
    keys += [each.removeprefix(_KEY_PROTOCOL) for each in offered if each.startswith(_KEY_PROTOCOL)]
    scope, secret = hub.enter(keys)
    enter_scope(scope)
    admit = None
    if hub.requests is not None:
        admit = partial(hub.requests.count, secret.client if secret else hub.requests.client(socket, keys))
    query = socket.query_params
    if (id := query.get("session_id")) is not None:
        session, model = hub.resume(id, scope)
        return session, service.registry.find(CHAT, model), scope, admit
    if secret is not None:
        chat = service.registry.find(CHAT, secret.config.model or "")
        return Session(secret.config, _abilities(chat, service, hub)), chat, scope, admit
    chat = service.registry.find(CHAT, query.get("model") or "")
    kind: Literal["realtime", "transcription"] = (
        "transcription" if query.get("intent") == "transcription" else "realtime"
    )
    return Session(_defaults(kind, chat, service), _abilities(chat, service, hub)), chat, scope, admit


def _defaults(
    kind: Literal["realtime", "transcription"], chat: ChatProvider, service: Service
) -> RealtimeSessionConfig:
    return default_config(
        kind,
        model=chat.spec.name,
        speaks=bool(service.registry.available(SPEECH)),
        hears=bool(service.registry.available(TRANSCRIPTION)),
    )


def _abilities(chat: ChatProvider, service: Service, hub: Hub) -> Abilities:
    registry = service.registry
    return Abilities(
        speaks=bool(registry.available(SPEECH)),
        hears=bool(registry.available(TRANSCRIPTION)),
        sees=reads_pictures(chat),
        strict=hub.strict,
    )


async def _refuse(socket: WebSocket[Any, Any, Any], error: ServiceError) -> None:
    """Say why after the handshake, as OpenAI does: clients show the text of no other refusal."""
    await socket.send_text(encode_contract(error_event(error, None)).decode())
    code = _UNAUTHORIZED if isinstance(error, InvalidApiKey) else _REFUSED
    await socket.close(code, f"{error.type}.{error.code}")
