"""Which model answers to which name, and the models' common start and end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar, cast

import attrs

import otel
from providers.capabilities import MODALITIES, ModelType, load
from providers.errors import ModelNotFound, ServiceError
from providers.protocols import Capability, ModelCard, Provider
from providers.queued import QueuedProvider
from providers.residency import Residency
from providers.spec import ModelSpec
from providers.unavailable import UnavailableProvider

__all__ = ["PROVIDERS", "Changes", "ModelRegistry", "ProviderFactory", "check_servable"]

P = TypeVar("P", bound=Provider)

ProviderFactory = Callable[[ModelSpec], Provider]

_RETIRED_SECONDS = 0.05
"""Time between two looks at the requests of a model that is no longer served."""

_log = otel.get_logger(__name__)


def _provider(spec: ModelSpec) -> Provider:
    """The provider of the table's row; a placeholder when the row's extra is not installed."""
    row = MODALITIES[spec.model_type]
    if (extra := row.lacks) is not None:
        return UnavailableProvider(spec, extra)
    make: ProviderFactory = load(row.provider)
    return make(spec)


PROVIDERS: Mapping[ModelType, ProviderFactory] = dict.fromkeys(MODALITIES, _provider)


def check_servable(specs: Sequence[ModelSpec]) -> None:
    """
    Raises:
        ExtraNotInstalled: every model needs an extra that is not installed; the message names the first model's.
    """
    lacking = [(spec, extra) for spec in specs if (extra := MODALITIES[spec.model_type].lacks) is not None]
    if lacking and len(lacking) == len(specs):
        raise UnavailableProvider(*lacking[0]).refusal()


@attrs.frozen(kw_only=True)
class Changes:
    """Names of models that a replacement has added, removed or changed."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


class ModelRegistry:
    """The models of this server, in the order in which they were named.

    They share one budget of memory. Each answers to its name and to its aliases.

    Raises:
        ValueError: two models have one name or alias, a model type is not available in this version, or its
            settings are bad.
        ExtraNotInstalled: every model needs an extra that is not installed.
    """

    def __init__(
        self,
        specs: tuple[ModelSpec, ...],
        *,
        residency: Residency | None = None,
        factories: Mapping[ModelType, ProviderFactory] = PROVIDERS,
    ) -> None:
        self.residency = residency or Residency()
        self._factories = factories
        self._watch: asyncio.Task[None] | None = None
        self._names = _names(specs)
        """The model of each name and alias."""
        self._providers = self._made(specs, {}, ())
        self._retired: dict[Provider, asyncio.Task[None]] = {}
        """Models that are no longer served, until their last request has ended."""
        self._loads: set[asyncio.Task[None]] = set()
        self._rolls: dict[Provider, asyncio.Task[None]] = {}
        """Models whose replicas are exchanged one after the other: the latest such task of each."""

    def _made(
        self, specs: Sequence[ModelSpec], served: Mapping[str, Provider], rolling: Collection[ModelSpec]
    ) -> dict[str, Provider]:
        """A provider for each model: the one that is `served` if it has such an engine or will have it, or a new one.

        `rolling`: the specs that a served model will have.
        """
        providers: dict[str, Provider] = {}
        for spec in specs:
            provider = served.get(spec.name)
            kept = isinstance(provider, QueuedProvider) and (spec in rolling or provider.keeps(spec))
            providers[spec.name] = provider if provider is not None and kept else self._new(spec)
        unavailable = [p for p in providers.values() if isinstance(p, UnavailableProvider)]
        if unavailable and len(unavailable) == len(providers):
            raise unavailable[0].refusal()
        for provider in providers.values():
            if isinstance(provider, QueuedProvider) and provider.residency is not self.residency:
                provider.join(self.residency)
        return providers

    def _new(self, spec: ModelSpec) -> Provider:
        factory = self._factories.get(spec.model_type)
        if factory is None:
            known = ", ".join(sorted(self._factories))
            raise ValueError(
                f"model type {spec.model_type!r} (of {spec.name!r}) is not available in this version; "
                f"available: {known}"
            )
        return factory(spec)

    @property
    def memory_limit(self) -> int | None:
        """Bytes that all models may have together; None: no limit."""
        return self.residency.budget

    async def start(self) -> None:
        """Begin to load every model and return immediately. Each `Provider.wait_ready` reports the outcome."""
        if self._watch is None:
            self._watch = asyncio.create_task(self.residency.watch(), name="residency")
        await asyncio.gather(*(provider.start() for provider in self._providers.values()))

    async def wait_ready(self) -> None:
        """Return when every model can answer; raise as `Provider.wait_ready` as soon as one never will."""
        await asyncio.gather(*(provider.wait_ready() for provider in self._providers.values()))

    async def replace(self, specs: Sequence[ModelSpec], *, memory_limit: int | None) -> Changes:
        """Serve these models from now on.

        A removed model ends with its last request. So does the former engine of a changed one; the new engine is
        loaded after that, or for a request that arrives before. Of a model with several engines, they are exchanged
        one after the other, if the new ones fit into memory. A model that keeps its engine changes immediately.

        Raises:
            ValueError, ExtraNotInstalled: as the constructor; nothing has changed.
        """
        names, served = _names(specs), self._providers
        before = {name: provider.spec for name, provider in served.items()}
        rolling = [spec for spec in specs if await self._rolls_to(served.get(spec.name), spec, memory_limit)]
        providers = self._made(specs, served, rolling)
        former = [provider for name, provider in served.items() if providers.get(name) is not provider]
        new = [provider for name, provider in providers.items() if served.get(name) is not provider]
        for provider in new:
            if isinstance(provider, QueuedProvider):
                await provider.release()  # unloaded from the start: its requests load it and wait
        self._names, self._providers, self.residency.budget = names, providers, memory_limit
        for provider in former:
            self._retire(provider, providers.get(provider.spec.name))
        for spec in specs:
            provider = providers[spec.name]
            if isinstance(provider, QueuedProvider) and provider not in new:
                self._roll(provider, spec) if spec in rolling else provider.adopt(spec)
            if spec.name not in before or (before[spec.name].lazy and provider not in new):
                self._begin_load(provider)
        return Changes(
            added=tuple(name for name in providers if name not in before),
            removed=tuple(name for name in before if name not in providers),
            changed=tuple(spec.name for spec in specs if before.get(spec.name, spec) != spec),
        )

    async def _rolls_to(self, provider: Provider | None, spec: ModelSpec, memory_limit: int | None) -> bool:
        if not isinstance(provider, QueuedProvider) or provider.keeps(spec) or not provider.rolls_to(spec):
            return False
        return await self.residency.has_room(provider, spec, memory_limit)

    def _roll(self, provider: QueuedProvider[Any, Any], spec: ModelSpec) -> None:
        provider.adopt(spec)

        async def roll() -> None:
            try:
                await provider.roll(spec)
                _log.info("all replicas have other options", model=spec.name)
            except ServiceError as error:
                _log.error("replicas keep their former options", model=spec.name, reason=error.message)
            finally:
                if self._rolls.get(provider) is asyncio.current_task():
                    del self._rolls[provider]

        self._rolls[provider] = asyncio.create_task(roll(), name=f"roll {spec.name}")

    def _retire(self, provider: Provider, successor: Provider | None) -> None:
        async def end() -> None:
            if (roll := self._rolls.get(provider)) is not None:
                roll.cancel()
            try:
                while True:
                    stats = provider.queue_stats
                    if not (stats.active or stats.pending):
                        break
                    await asyncio.sleep(_RETIRED_SECONDS)
                await provider.unload()  # after its last question
                await provider.stop()
                _log.info("model is no longer served", model=provider.spec.name, changed=successor is not None)
            finally:
                del self._retired[provider]
            if successor is not None and successor in self._providers.values():
                self._begin_load(successor)

        self._retired[provider] = asyncio.create_task(end(), name=f"retire {provider.spec.name}")

    def _begin_load(self, provider: Provider) -> None:
        """Load a model, unless it is to be loaded by its first request."""

        async def load() -> None:
            try:
                await provider.load()
            except ServiceError as error:
                _log.error("model cannot be loaded", model=provider.spec.name, reason=error.message)

        if not provider.spec.lazy:
            task = asyncio.create_task(load(), name=f"load {provider.spec.name}")
            self._loads.add(task)
            task.add_done_callback(self._loads.discard)

    async def stop(self) -> None:
        """Release every model. Idempotent; one model's failure to stop keeps no other from it."""
        retired = tuple(self._retired)
        for task in (self._watch, *self._retired.values(), *self._loads, *self._rolls.values()):
            if task is not None:
                task.cancel()
        results = await asyncio.gather(
            *(provider.stop() for provider in (*self._providers.values(), *retired)), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def begin_drain(self) -> None:
        """Admit no more requests to any model; admitted ones continue. Idempotent."""
        for provider in (*self._providers.values(), *self._retired):
            provider.begin_drain()

    def providers(self) -> tuple[Provider, ...]:
        return tuple(self._providers.values())

    def card(self, model_id: str) -> ModelCard:
        """The card of the model with this id or alias. Raises as `provider`."""
        return self.provider(model_id).card

    def provider(self, model_id: str) -> Provider:
        """The model with this id or alias.

        Raises:
            ModelNotFound: no model has it.
        """
        name = self._names.get(model_id)
        if name is None:
            raise _not_found(model_id, list(self._providers))
        return self._providers[name]

    def find(self, capability: Capability[P], model_name: str) -> P:
        """The model of this capability and name or alias; the only one of a capability answers to every name.

        Raises:
            ModelNotFound: no model has the capability, or several have it and none has this name.
            ExtraNotInstalled: the model needs an extra that is not installed.
        """
        able = self._able(capability)
        provider = next(iter(able.values())) if len(able) == 1 else able.get(self._names.get(model_name, ""))
        if provider is None:
            raise _not_found(model_name, [*able], f"that {capability.does} ")
        if isinstance(provider, UnavailableProvider):
            raise provider.refusal()
        return cast(P, provider)  # the table's test holds every provider to the Protocols of its capabilities

    def available(self, capability: Capability[P]) -> list[P]:
        """Every model of this capability, but those that need an extra that is not installed."""
        able = self._able(capability).values()
        return [cast(P, provider) for provider in able if not isinstance(provider, UnavailableProvider)]

    def _able(self, capability: Capability[P]) -> dict[str, Provider]:
        return {name: p for name, p in self._providers.items() if capability.name in p.card.capabilities}


def _names(specs: Sequence[ModelSpec]) -> dict[str, str]:
    """The model of each name and alias."""
    names: dict[str, str] = {}
    for spec in specs:
        for name in (spec.name, *spec.aliases):
            if name in names:
                raise ValueError(f"two models are named {name!r}")
            names[name] = spec.name
    return names


def _not_found(name: str, known: list[str], what: str = "") -> ModelNotFound:
    listed = f"there are: {', '.join(known)}" if known else "there is none"
    return ModelNotFound(f"no model {what}is named {name!r}; {listed}", param="model")
