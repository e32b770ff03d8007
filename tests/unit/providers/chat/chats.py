"""Helpers for chats with a fake engine in another process."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from providers.chat.provider import EngineChatProvider
from providers.chat.types import GenerationEvent, GenerationRequest, TextDelta, TextPrompt
from providers.engine_host.restart import RestartPolicy
from providers.protocols import ModelStatus

FAKE = (sys.executable, str(Path(__file__).with_name("fake_engine.py")))


QUICK = RestartPolicy(first_delay=0.01, max_delay=0.05, attempts=3)
PATIENCE = 20.0
"""Seconds after which something that should have happened will not."""


def starts(provider: EngineChatProvider) -> list[int]:
    """The process ids of every engine so far."""
    file = Path(json.loads(provider.spec.path)["starts"])
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        if sys.platform == "linux":  # An orphan that ended waits for process 1, which in a container may never look.
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
    return True


async def ready(provider: EngineChatProvider) -> EngineChatProvider:
    await asyncio.wait_for(provider.wait_ready(), PATIENCE)
    return provider


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - a status changes in many places, none of which can tell
            await asyncio.sleep(0.002)


async def status(provider: EngineChatProvider, wanted: ModelStatus, detail: str = "") -> None:
    await until(lambda: provider.card.status == wanted and detail in (provider.card.detail or ""))


def ask(prompt: str, **fields: object) -> GenerationRequest:
    return GenerationRequest(**({"id": "r", "prompt": TextPrompt(prompt)} | fields))


async def answer(provider: EngineChatProvider, prompt: str, **fields: object) -> list[GenerationEvent]:
    async with asyncio.timeout(PATIENCE), aclosing(provider.generate(ask(prompt, **fields))) as events:
        return [event async for event in events]


async def text(provider: EngineChatProvider, prompt: str) -> str:
    return "".join(event.text for event in await answer(provider, prompt) if isinstance(event, TextDelta))
