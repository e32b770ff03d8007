"""Which model answers which name, and the models' common start and end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from providers.echo import EchoProvider
from providers.engine_chat import EngineChatProvider
from providers.errors import ModelNotFound
from providers.protocols import ChatProvider, ModelCard, Provider
from providers.spec import ModelSpec, ModelType

__all__ = ["PROVIDERS", "ModelRegistry", "ProviderFactory"]

ProviderFactory = Callable[[ModelSpec], Provider]

PROVIDERS: Mapping[ModelType, ProviderFactory] = {"echo": EchoProvider, "lm": EngineChatProvider}


class ModelRegistry:
    """The models of this server, in the order in which they were named.

    Raises:
        ValueError: two models have one name, a model type is not available in this version, or its settings are bad.
    """

    def __init__(
        self, specs: tuple[ModelSpec, ...], *, factories: Mapping[ModelType, ProviderFactory] = PROVIDERS
    ) -> None:
        self._providers: dict[str, Provider] = {}
        for spec in specs:
            if spec.name in self._providers:
                raise ValueError(f"two models are named {spec.name!r}")
            factory = factories.get(spec.model_type)
            if factory is None:
                known = ", ".join(sorted(factories))
                raise ValueError(
                    f"model type {spec.model_type!r} (of {spec.name!r}) is not available in this version; "
                    f"available: {known}"
                )
            self._providers[spec.name] = factory(spec)
        self._chat = {name: p for name, p in self._providers.items() if isinstance(p, ChatProvider)}

    async def start(self) -> None:
        """Begin to load every model; return at once. Each `Provider.wait_ready` tells how it goes."""
        await asyncio.gather(*(provider.start() for provider in self._providers.values()))

    async def wait_ready(self) -> None:
        """Return when every model can answer; raise `ModelNotReady` as soon as one never will."""
        await asyncio.gather(*(provider.wait_ready() for provider in self._providers.values()))

    async def stop(self) -> None:
        """Release every model. Idempotent; one model's failure to stop keeps no other from it."""
        results = await asyncio.gather(
            *(provider.stop() for provider in self._providers.values()), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def begin_drain(self) -> None:
        """Admit no more requests anywhere; those admitted go on. Idempotent."""
        for provider in self._providers.values():
            provider.begin_drain()

    def providers(self) -> tuple[Provider, ...]:
        return tuple(self._providers.values())

    def card(self, model_id: str) -> ModelCard:
        """The card of exactly this model.

        Raises:
            ModelNotFound: no model has this id.
        """
        provider = self._providers.get(model_id)
        if provider is None:
            raise _not_found(model_id, list(self._providers))
        return provider.card

    def chat(self, model_name: str) -> ChatProvider:
        """The model that answers chats by this name; the only one that chats answers to every name.

        Raises:
            ModelNotFound: none chats, or several do and none is named so.
        """
        if len(self._chat) == 1:
            return next(iter(self._chat.values()))
        if model_name not in self._chat:
            raise _not_found(model_name, list(self._chat), "that chats ")
        return self._chat[model_name]


def _not_found(name: str, known: list[str], what: str = "") -> ModelNotFound:
    listed = f"there are: {', '.join(known)}" if known else "there is none"
    return ModelNotFound(f"no model {what}is named {name!r}; {listed}", param="model")
