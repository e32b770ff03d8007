"""`/v1/realtime`: the WebSocket, and keys for its clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import attrs
from litestar import Controller, MediaType, Request, Response, WebSocket, get, post, websocket
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import JSONBody, SkipValidation

from contracts.realtime.beta import BetaClientSecret, BetaSecretLife, BetaSession, CreateBetaSessionRequest
from contracts.realtime.secrets import ClientSecret, CreateClientSecretRequest, ExpiresAfter
from contracts.realtime.session import RealtimeSession, RealtimeSessionConfig, SessionType
from providers.chat.protocol import CHAT, ChatProvider
from providers.errors import InvalidApiKey, ServiceError
from providers.speech.protocol import SPEECH
from providers.transcription.protocol import TRANSCRIPTION
from server.api.error_responses import errors
from server.api.generation.parts.pictures import reads_pictures
from server.api.realtime.answering import check_voice
from server.api.realtime.connection import Admit, Connection
from server.api.realtime.dialects.beta import (
    BETA,
    BETA_PROTOCOL,
    asks_for_beta,
    beta_path,
    beta_session,
    current_settings,
)
from server.api.realtime.dialects.decoding import CURRENT
from server.api.realtime.hub import Hub, Secret
from server.api.realtime.session import Abilities, Session, error_event
from server.api.realtime.settings import default_config, updated
from server.api.refusals import check_deeply
from server.cache_scope import current_scope, enter_scope
from server.dependencies import Service, ServiceDependency
from server.errors import as_service_error
from server.guards import OPEN, given_keys, json_body
from server.serialization import encode_contract

__all__ = ["RealtimeController"]

HubDependency = NamedDependency[SkipValidation[Hub]]

_PROTOCOLS = ("realtime", BETA_PROTOCOL)
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
        await socket.accept(subprotocols=next((each for each in _PROTOCOLS if each in offered), None))
        dialect = BETA if asks_for_beta(socket.headers.getall("openai-beta", []), offered) else CURRENT
        try:
            session, chat, scope, admit = _open(socket, offered, service, hub)
        except Exception as error:
            await _refuse(socket, as_service_error(error))
            return
        try:
            await Connection(session, chat, service, socket.receive, socket.send, hub.limits, admit, dialect).run()
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
        before_request=json_body,
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
        kind: SessionType = "transcription" if given.get("type") == "transcription" else "realtime"
        seconds = (data.expires_after or ExpiresAfter()).seconds
        secret, session = await _new_secret(request, service, hub, kind, given, seconds)
        return Response(ClientSecret(value=secret.value, expires_at=int(secret.expires_at), session=session))

    @post(
        "/sessions",
        before_request=json_body,
        status_code=200,
        media_type=MediaType.JSON,
        operation_id="createRealtimeSession",
        name="realtime.sessions.create",
        summary="Create a key for a client of the beta of /v1/realtime",
        description="As `POST /v1/realtime/client_secrets`, in the form of OpenAI's beta.",
        responses=errors(400, 404, 500),
    )
    async def create_session(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[CreateBetaSessionRequest],
        service: ServiceDependency,
        hub: HubDependency,
    ) -> Response[BetaSession]:
        return await _new_beta_session(request, service, hub, "realtime", data)

    @post(
        "/transcription_sessions",
        before_request=json_body,
        status_code=200,
        media_type=MediaType.JSON,
        operation_id="createRealtimeTranscriptionSession",
        name="realtime.transcription_sessions.create",
        summary="Create a key for a transcribing client of the beta of /v1/realtime",
        description="As `POST /v1/realtime/client_secrets`, in the form of OpenAI's beta.",
        responses=errors(400, 404, 500),
    )
    async def create_transcription_session(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[CreateBetaSessionRequest],
        service: ServiceDependency,
        hub: HubDependency,
    ) -> Response[BetaSession]:
        return await _new_beta_session(request, service, hub, "transcription", data)


async def _new_secret(
    request: Request[Any, Any, Any],
    service: Service,
    hub: Hub,
    kind: SessionType,
    given: Mapping[str, Any],
    seconds: int,
) -> tuple[Secret, RealtimeSession]:
    """A key, and a session as it will open them.

    Raises:
        InvalidRequest, UnsupportedParameter, ModelNotFound: a setting is wrong.
    """
    model = given.get("model")
    chat = service.registry.find(CHAT, model if isinstance(model, str) else "")
    config = updated(_defaults(kind, chat, service), given)
    await check_voice(config, service)
    client = "" if hub.requests is None else hub.requests.client(request, given_keys(request.headers))
    secret = hub.new_secret(config, seconds, current_scope(), client)
    fields = {name: getattr(config, name) for name in attrs.fields_dict(RealtimeSessionConfig)}
    return secret, RealtimeSession(id=Session(config, _abilities(chat, service, hub)).id, **fields)


async def _new_beta_session(
    request: Request[Any, Any, Any], service: Service, hub: Hub, kind: SessionType, data: CreateBetaSessionRequest
) -> Response[BetaSession]:
    """As `_new_secret` raises, with the paths of the beta."""
    check_deeply(data)
    life = data.client_secret or BetaSecretLife()
    seconds = (life.expires_after or life.expires_at or ExpiresAfter()).seconds
    try:
        secret, session = await _new_secret(request, service, hub, kind, current_settings(data), seconds)
    except ServiceError as error:
        error.message = beta_path(error.message).removeprefix("session.")
        error.param = None if error.param is None else beta_path(error.param).removeprefix("session.")
        raise
    key = BetaClientSecret(value=secret.value, expires_at=int(secret.expires_at))
    return Response(beta_session(session, key))


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
    kind: SessionType = "transcription" if query.get("intent") == "transcription" else "realtime"
    return Session(_defaults(kind, chat, service), _abilities(chat, service, hub)), chat, scope, admit


def _defaults(kind: SessionType, chat: ChatProvider, service: Service) -> RealtimeSessionConfig:
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
