"""Which model answers to which name, and the models' common start and end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

from providers.capabilities import MODALITIES, ModelType, load
from providers.errors import ModelNotFound
from providers.protocols import Capability, ModelCard, Provider
from providers.queued import QueuedProvider
from providers.residency import Residency
from providers.spec import ModelSpec
from providers.unavailable import UnavailableProvider

__all__ = ["PROVIDERS", "ModelRegistry", "ProviderFactory", "check_servable"]

P = TypeVar("P", bound=Provider)

ProviderFactory = Callable[[ModelSpec], Provider]


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
        self._watch: asyncio.Task[None] | None = None
        self._providers: dict[str, Provider] = {}
        self._names: dict[str, str] = {}
        """The model of each name and alias."""
        for spec in specs:
            for name in (spec.name, *spec.aliases):
                if name in self._names:
                    raise ValueError(f"two models are named {name!r}")
                self._names[name] = spec.name
            factory = factories.get(spec.model_type)
            if factory is None:
                known = ", ".join(sorted(factories))
                raise ValueError(
                    f"model type {spec.model_type!r} (of {spec.name!r}) is not available in this version; "
                    f"available: {known}"
                )
            self._providers[spec.name] = provider = factory(spec)
            if isinstance(provider, QueuedProvider):
                provider.join(self.residency)
        unavailable = [p for p in self._providers.values() if isinstance(p, UnavailableProvider)]
        if unavailable and len(unavailable) == len(self._providers):
            raise unavailable[0].refusal()

    async def start(self) -> None:
        """Begin to load every model and return immediately. Each `Provider.wait_ready` reports the outcome."""
        if self._watch is None:
            self._watch = asyncio.create_task(self.residency.watch(), name="residency")
        await asyncio.gather(*(provider.start() for provider in self._providers.values()))

    async def wait_ready(self) -> None:
        """Return when every model can answer; raise as `Provider.wait_ready` as soon as one never will."""
        await asyncio.gather(*(provider.wait_ready() for provider in self._providers.values()))

    async def stop(self) -> None:
        """Release every model. Idempotent; one model's failure to stop keeps no other from it."""
        if self._watch is not None:
            self._watch.cancel()
        results = await asyncio.gather(
            *(provider.stop() for provider in self._providers.values()), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def begin_drain(self) -> None:
        """Admit no more requests to any model; admitted ones continue. Idempotent."""
        for provider in self._providers.values():
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


def _not_found(name: str, known: list[str], what: str = "") -> ModelNotFound:
    listed = f"there are: {', '.join(known)}" if known else "there is none"
    return ModelNotFound(f"no model {what}is named {name!r}; {listed}", param="model")
