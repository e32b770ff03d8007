"""The ready message, printed once the server answers: its address, its models, how to try it and how to stop it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import signal
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

from litestar import Litestar

import otel
from providers.errors import ServiceError
from providers.protocols import ModelCard, Provider
from providers.registry import ModelRegistry
from server.drain import Drain
from server.settings.settings import Settings

__all__ = ["announce", "banner", "curl_line"]

_logger = otel.get_logger(__name__)

_SERVED = ("ready", "unloaded")


def announce(app: Litestar, registry: ModelRegistry, settings: Settings, url: str) -> Litestar:
    """Let the application announce that it is ready, as a banner or as one line of a JSON log.

    If no model can be served, it logs an error and ends the process instead.
    """
    drain: Drain = app.state.drain
    tasks: list[asyncio.Task[None]] = []

    async def tell() -> None:
        await _answering(url)
        if settings.log_format == "console":
            loading = ", ".join(_loaded_at_start(registry.providers()))
            _say(f"Listening on {url}" + (f"; loading {loading} …" if loading else ""))
        cards = await _settled(registry.providers())
        if not drain.begun:
            _tell(cards, settings, url)

    async def begin() -> None:
        tasks.append(asyncio.create_task(tell()))

    async def cancel() -> None:
        for task in tasks:
            task.cancel()

    app.on_startup.append(begin)
    app.on_shutdown.insert(0, cancel)
    return app


def _loaded_at_start(providers: Sequence[Provider]) -> list[str]:
    return [p.spec.name for p in providers if not p.spec.lazy and p.card.status != "unavailable"]


async def _settled(providers: Sequence[Provider]) -> list[ModelCard]:
    """The models' cards, once each model is ready or never will be. A failed model does not hide the others."""
    for provider in providers:
        with contextlib.suppress(ServiceError):
            await provider.wait_ready()
    return [provider.card for provider in providers]


def _tell(cards: Sequence[ModelCard], settings: Settings, url: str) -> None:
    served = [card for card in cards if card.status in _SERVED]
    unavailable = [card for card in cards if card.status == "unavailable"]
    for card in cards:
        if card not in served and card not in unavailable:
            _logger.error("model cannot be served", model=card.id, status=card.status, detail=card.detail)
    if not served:
        _logger.error("no model can be served: the server ends")
        signal.raise_signal(signal.SIGTERM)
    elif settings.log_format == "json":
        for card in unavailable:
            _logger.warning("model is unavailable", model=card.id, detail=card.detail)
        _logger.info("ready", url=url, models=[card.id for card in served])
    else:
        _say(banner(cards, settings, url))


async def _answering(url: str) -> None:
    """Return when the server's own address answers HTTP: granian accepts connections after the application started."""
    split = urlsplit(url)
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(split.hostname, split.port)
            with contextlib.closing(writer):
                writer.write(
                    f"GET /v1/health/live HTTP/1.1\r\nHost: {split.netloc}\r\nConnection: close\r\n\r\n".encode()
                )
                if await reader.read(1):
                    return
        await asyncio.sleep(0.05)


def banner(cards: Sequence[ModelCard], settings: Settings, url: str) -> str:
    """The ready message: the arena's address where it works, and a curl line for the first model that chats."""
    served = {capability for card in cards if card.status in _SERVED for capability in card.capabilities}
    lines = ["", f"  mlx-openai-server is ready at {url}", ""]
    if served >= {"chat", "speech"}:
        lines += [f"  Hear two models debate, in a browser: {url}/arena", ""]
    for card in cards:
        context = f", context {card.context_length}" if card.context_length else ""
        if card.status in _SERVED:
            later = "; loaded on first use" if card.status == "unloaded" else ""
            lines.append(f"  {card.id}  ({', '.join(card.capabilities)}{context}{later})")
        else:
            lines.append(f"  {card.id}  {card.status}: {card.detail or 'see the log'}")
    chat = next((card for card in cards if card.status in _SERVED and "chat" in card.capabilities), None)
    if chat is not None:
        lines += ["", "  Try it:", f"    {curl_line(url, chat.id, with_key=bool(settings.api_keys))}"]
    lines += ["", f"  OpenAI base URL: {url}/v1", "  Stop with Ctrl-C", ""]
    return "\n".join(lines)


def curl_line(url: str, model: str, *, with_key: bool) -> str:
    """A command for a POSIX shell. It has `$API_KEY` in place of the key, which is not printed."""
    body = {"model": model, "messages": [{"role": "user", "content": "What is the capital of France?"}]}
    key = ' -H "Authorization: Bearer $API_KEY"' if with_key else ""
    data = shlex.quote(json.dumps(body, ensure_ascii=False))
    return f"curl {shlex.quote(url + '/v1/chat/completions')}{key} -H 'Content-Type: application/json' -d {data}"


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        print(text, file=sys.stdout, flush=True)
