"""The server under the soak: three engines and the echo, with limits that requests reach within seconds."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import psutil
import yaml

from tests.live.harness import LiveServer, start
from tests.soak.client import BODY_LIMIT, BODY_SECONDS, WRITE_SECONDS
from tests.soak.resources import Held, held_by
from tests.unit.providers.engines import tiny

__all__ = ["ENGINES", "HANG_SECONDS", "Served", "serving"]

ENGINES = ("smollm2", "tiny", "minilm")
"""The models with a process; the echo has none."""
HANG_SECONDS = 6.0
"""`--watchdog-timeout`."""


@attrs.define
class Served:
    """The running server, and the soak's own requests to it."""

    server: LiveServer
    client: httpx.AsyncClient
    begun: float
    temporary: Path
    """The server's folder for temporary files."""

    @property
    def port(self) -> int:
        return int(self.server.url.rpartition(":")[2])

    async def get(self, path: str) -> Any:
        return (await self.client.get(path, headers={"x-request-id": "control"})).json()

    async def models(self) -> dict[str, dict[str, Any]]:
        """Each model's state, queue and engine, from the diagnostics."""
        return {model["id"]: model for model in (await self.get("/internal/diagnostics"))["models"]}

    async def ready(self, model: str, within: float) -> bool:
        """Wait until a model is ready."""
        end = time.monotonic() + within
        while (await self.models())[model]["status"] != "ready":
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.1)
        return True

    def held(self) -> Held:
        family = [psutil.Process(self.server.process.pid), *self.server.descendants()]
        return held_by(family, self.server.worker(), time.monotonic() - self.begun)


def _config(folder: Path) -> dict[str, Any]:
    weights = tiny.write_folder(folder / "tiny", max_position_embeddings=32_768)
    return {
        "log_format": "json",
        "max_body_size": BODY_LIMIT,
        "body_timeout": BODY_SECONDS,
        "write_timeout": WRITE_SECONDS,
        "watchdog_timeout": HANG_SECONDS,
        "grace_period": 5,
        "prefix_cache_size": "16MB",
        "context_length": 100_000,
        "response_store": str(folder / "responses.db"),
        "response_store_size": "1MB",
        "data_dir": str(folder / "data"),
        "models": [
            {"model_type": "lm", "served_model_name": "smollm2"},
            {"model_path": str(weights), "served_model_name": "tiny"},
            {"model_type": "embeddings", "served_model_name": "minilm"},
            {"model_type": "echo", "served_model_name": "echo"},
        ],
    }


@contextmanager
def serving() -> Iterator[tuple[LiveServer, Path]]:
    """A server in a new folder, and its folder for temporary files. The caller stops it; a failed one is killed."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        temporary = folder / "tmp"
        temporary.mkdir()
        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump(_config(folder)), encoding="utf-8")
        server = start("--config", str(config), env={"TMPDIR": str(temporary)})
        try:
            yield server, temporary
        finally:
            if server.process.poll() is None:
                server.kill(server.descendants())
