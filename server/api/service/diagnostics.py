"""`/internal/diagnostics`: what to read first when something is wrong."""

from __future__ import annotations

import os
import platform
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import attrs
import msgspec
from litestar import Controller, get

import otel
from contracts.service.diagnostics import Diagnostics, EngineDiagnostics, ModelDiagnostics, ProcessDiagnostics
from providers.engine_host.host import EngineHost
from providers.engine_host.memory_usage import resident_bytes
from providers.engine_host.provider import EngineProvider
from providers.engine_host.readings import read_engine
from providers.protocols import Provider, ReplicaState
from server.dependencies import ServiceDependency

__all__ = ["DiagnosticsController"]

_PACKAGES = (
    "granian",
    "litestar",
    "llguidance",
    "mlx",
    "mlx-audio",
    "mlx-embeddings",
    "mlx-lm",
    "msgspec",
    "opentelemetry-sdk",
    "tokenizers",
    "transformers",
)
_started = time.monotonic()


class DiagnosticsController(Controller):
    path = "/internal/diagnostics"
    include_in_schema = False

    @get(name="diagnostics", sync_to_thread=False)
    def diagnostics(self, service: ServiceDependency) -> Diagnostics:
        readings = {reading.model: reading for reading in otel.readings()}
        providers = service.registry.providers()
        return Diagnostics(
            versions={"mlx-openai-server-lab": service.version, **_versions()},
            server=ProcessDiagnostics(
                pid=os.getpid(),
                uptime=time.monotonic() - _started,
                rss=resident_bytes(os.getpid()),
                draining=service.drain.begun,
                system=platform.platform(),
                machine=platform.machine(),
                cpus=os.cpu_count(),
            ),
            models=[_model(provider, readings.get(provider.spec.name)) for provider in providers],
            errors=[*reversed(service.errors)],
        )


def _model(provider: Provider, reading: otel.ModelReading | None) -> ModelDiagnostics:
    card, spec = provider.card, provider.spec
    hosts = provider.host.engines if isinstance(provider, EngineProvider) else ()
    return ModelDiagnostics(
        id=card.id,
        type=spec.model_type,
        status=card.status,
        detail=card.detail,
        capabilities=[*card.capabilities],
        context_length=card.context_length,
        lazy=spec.lazy,
        pin=spec.pin,
        load_policy=spec.load_policy,
        limits={
            "max_concurrency": spec.max_concurrency,
            "queue_size": spec.queue_size,
            "queue_timeout": spec.queue_timeout,
            "watchdog_timeout": spec.watchdog_timeout,
            "ttl": spec.ttl,
            "max_memory": spec.max_memory,
            "wired_limit": spec.wired_limit,
            "prefix_cache_bytes": spec.prefix_cache_bytes,
        },
        queue=attrs.asdict(provider.queue_stats),
        tokens={} if reading is None else dict(reading.tally.tokens()),
        hit_ratio=None if reading is None else reading.tally.hit_ratio,
        engine=_engine(hosts[0], read_engine(hosts[0])) if hosts and not card.replicas else None,
        replicas=[_replica(host, state) for host, state in zip(hosts, card.replicas, strict=False)] or None,
    )


def _engine(host: EngineHost, reading: otel.ReplicaReading) -> EngineDiagnostics:
    return EngineDiagnostics(
        pid=host.pid,
        restarts=host.restarts,
        last_death=host.last_death,
        memory=dict(reading.memory),
        prefix_cache=reading.prefix_cache,
        info=None if host.info is None else msgspec.to_builtins(host.info),
    )


def _replica(host: EngineHost, state: ReplicaState) -> EngineDiagnostics:
    return attrs.evolve(
        _engine(host, read_engine(host)),
        replica=state.replica,
        status=state.status,
        device=state.device,
        active=state.active,
        routed=dict(state.routed),
    )


@cache
def _versions() -> dict[str, str | None]:
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
