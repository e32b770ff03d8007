"""A residency of models that load in no time, with a clock of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor

import attrs

from providers.residency import Residency
from providers.spec import ModelSpec

GB = 1_000_000_000
PATIENCE = 60.0
"""Seconds after which what a test waits for does not come: no test that passes waits so long."""


@attrs.define(eq=False)
class Model:
    """A model that is loaded as soon as it is admitted, and has `size` then."""

    spec: ModelSpec
    size: int
    known: bool = True
    resident: bool = False
    may_end: asyncio.Event = attrs.field(factory=asyncio.Event)
    released: int = 0

    def footprint(self) -> int:
        return self.size if self.resident else 0

    async def release(self) -> None:
        await self.may_end.wait()
        self.resident = False
        self.released += 1


@attrs.define
class House:
    """A residency with a clock of its own."""

    budget: int | None = 10 * GB
    now: float = 0.0
    models: list[Model] = attrs.field(factory=list)
    residency: Residency = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        # One thread takes its work in order: once it has done something later, it has made the estimates before.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        self.residency = Residency(self.budget, estimate=self._estimate, clock=lambda: self.now)

    def _estimate(self, spec: ModelSpec) -> int | None:
        model = next(model for model in self.models if model.spec.name == spec.name)
        return model.size if model.known else None

    def model(self, name: str, gigabytes: float, *, known: bool = True, **spec: object) -> Model:
        model = Model(ModelSpec(name=name, path="", **spec), int(gigabytes * GB), known)
        model.may_end.set()
        self.models.append(model)
        self.residency.add(model)
        return model

    async def load(self, model: Model, *, patience: float = PATIENCE, evict: bool = True) -> None:
        await self.residency.admit(model, patience=patience, evict=evict)
        model.resident = True
        await self.residency.loaded(model)
        self.now += 1

    async def use(self, model: Model) -> None:
        await self.residency.enter(model, PATIENCE)
        self.now += 1

    def resident(self) -> list[str]:
        return [model.spec.name for model in self.models if model.resident]


async def soon(work: Awaitable[object]) -> asyncio.Task[object]:
    """Begin work that has to wait."""
    task = asyncio.ensure_future(work)
    for _ in range(3):  # it is estimated, another model is measured, and it is measured
        for _ in range(5):
            await asyncio.sleep(0)
        await asyncio.to_thread(lambda: None)
    for _ in range(5):
        await asyncio.sleep(0)
    return task


async def done(task: Awaitable[object]) -> None:
    await asyncio.wait_for(task, PATIENCE)
