"""A model that cannot run here because an extra is not installed."""

from __future__ import annotations

import time
from typing import NoReturn

from providers.capabilities import MODALITIES
from providers.errors import ExtraNotInstalled
from providers.extras import Extra
from providers.protocols import ModelCard, QueueStats, ResidentState
from providers.spec import ModelSpec

__all__ = ["UnavailableProvider"]


class UnavailableProvider:
    """A `Provider` that is listed with the command that makes it available, and never started."""

    def __init__(self, spec: ModelSpec, extra: Extra) -> None:
        self._spec = spec
        self._detail = extra.refusal
        self._created = int(time.time())

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    @property
    def card(self) -> ModelCard:
        return ModelCard(
            id=self._spec.name,
            created=self._created,
            capabilities=MODALITIES[self._spec.model_type].capabilities,
            status="unavailable",
            detail=self._detail,
            aliases=self._spec.aliases,
            images=MODALITIES[self._spec.model_type].images,
        )

    @property
    def queue_stats(self) -> QueueStats:
        return QueueStats()

    @property
    def memory(self) -> ResidentState:
        return ResidentState()

    @property
    def full(self) -> bool:
        return False

    def refuse_full(self) -> NoReturn:
        raise self.refusal()

    def refusal(self) -> ExtraNotInstalled:
        """What a request for this model is refused with."""
        return ExtraNotInstalled(f"{self._spec.name} is unavailable: {self._detail}", param="model")

    async def start(self) -> None: ...

    def begin_load(self) -> None:
        raise self.refusal()

    async def load(self) -> None:
        raise self.refusal()

    async def unload(self) -> None: ...

    def pin(self, pinned: bool) -> None:
        raise self.refusal()

    async def wait_ready(self) -> None:
        raise self.refusal()

    def begin_drain(self) -> None: ...

    async def stop(self) -> None: ...
