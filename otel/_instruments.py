"""The instruments that record metrics. They do nothing until `setup` has set a meter provider."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from otel import metric_names as m
from otel import names
from otel._histograms import RememberingHistogram
from otel._operations.operation import SCOPE, clean
from otel._readings import ModelReading, ReplicaReading, readings

__all__ = ["Instruments", "instruments"]

_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Bounds that the conventions advise for `gen_ai.server.request.duration`."""
_FIRST_TOKEN: Final = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_PER_TOKEN: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
_HTTP: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 120)
_BYTES: Final = (256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
_WAIT: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_FACTOR: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 5, 10)

_logger = logging.getLogger(__name__)


class Active:
    """Requests in flight by their labels: counted as plain numbers, reported when metrics are collected."""

    def __init__(self) -> None:
        self._counts: dict[tuple[tuple[str, str], ...], int] = {}

    def change(self, labels: Mapping[str, str], by: int) -> None:
        key = tuple(labels.items())
        self._counts[key] = self._counts.get(key, 0) + by

    def observe(self, _: CallbackOptions) -> list[Observation]:
        return [Observation(count, dict(key)) for key, count in tuple(self._counts.items())]


class Instruments:
    """All instruments, on one meter."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.request_duration = self._histogram(
            m.GEN_AI_SERVER_REQUEST_DURATION, "s", "Time from entering the queue to the last output chunk.", _SECONDS
        )
        self.time_to_first_token = self._histogram(
            m.GEN_AI_SERVER_TIME_TO_FIRST_TOKEN,
            "s",
            "Time from entering the queue to the first output chunk.",
            _FIRST_TOKEN,
        )
        self.time_per_output_token = self._histogram(
            m.GEN_AI_SERVER_TIME_PER_OUTPUT_TOKEN, "s", "Mean time per token after the first.", _PER_TOKEN
        )
        self.token_usage = self._histogram(
            m.GEN_AI_CLIENT_TOKEN_USAGE, "{token}", "Tokens per request, of the prompt and of the answer.", _TOKENS
        )
        self.queue_wait = self._histogram(m.QUEUE_WAIT, "s", "Waiting time of admitted requests.", _WAIT)
        self.real_time_factor = self._histogram(
            m.AUDIO_REAL_TIME_FACTOR, "1", "Seconds of work per second of audio.", _FACTOR
        )
        self.audio = meter.create_counter(m.AUDIO_DURATION, "s", "Seconds of audio synthesized or transcribed.")
        self.first_sound = self._histogram(
            m.PLAYBACK_TIME_TO_FIRST_SOUND, "s", "Time from a client's request to the first sound heard.", _SECONDS
        )
        self.stalls = meter.create_counter(
            m.PLAYBACK_STALLS, "{stall}", "Interruptions of an answer's sound by pieces that arrived late."
        )
        self.ignored_parameters = meter.create_counter(
            m.IGNORED_PARAMETERS, "{parameter}", "Parameters of requests that had no effect."
        )
        self.http_duration = self._histogram(
            m.HTTP_SERVER_REQUEST_DURATION,
            "s",
            "Time from the request's header to the last byte of the response.",
            _HTTP,
        )
        self.request_size = self._histogram(
            m.HTTP_SERVER_REQUEST_BODY_SIZE, "By", "Size of HTTP server request bodies.", _BYTES
        )
        self.response_size = self._histogram(
            m.HTTP_SERVER_RESPONSE_BODY_SIZE, "By", "Size of HTTP server response bodies.", _BYTES
        )
        self.active = Active()
        meter.create_observable_up_down_counter(
            m.HTTP_SERVER_ACTIVE_REQUESTS, [self.active.observe], "{request}", "Number of active HTTP server requests."
        )
        self._observe_models()

    def _histogram(self, name: str, unit: str, description: str, bounds: Iterable[float]) -> RememberingHistogram:
        made = self._meter.create_histogram(
            name, unit, description, explicit_bucket_boundaries_advisory=[float(bound) for bound in bounds]
        )
        return RememberingHistogram(made)

    def _observe_models(self) -> None:
        """Metrics that are read from models at collection and cost nothing per request."""
        gauge, counter = self._meter.create_observable_gauge, self._meter.create_observable_counter
        gauge(m.QUEUE_DEPTH, [_each(lambda r: r.pending)], "{request}", "Requests waiting for a slot.")
        gauge(m.REQUESTS_ACTIVE, [_each(lambda r: r.active)], "{request}", "Requests that have a slot.")
        gauge(m.BATCH_OCCUPANCY, [_each(lambda r: r.sequences)], "{sequence}", "Sequences in the engine.")
        gauge(m.MODEL_READY, [_each(lambda r: int(r.ready))], "", "1 if the model can answer now, else 0.")
        gauge(m.PREFIX_CACHE_SIZE, [_each(lambda r: r.prefix_cache)], "By", "Size of the prefix cache.")
        gauge(m.PREFIX_CACHE_HIT_RATIO, [_each(lambda r: r.tally.hit_ratio)], "1", "Share of prompt tokens cached.")
        gauge(m.ENGINE_MEMORY, [_by(m.MEMORY_KIND, lambda r: r.memory)], "By", "Memory of the engine process.")
        counter(m.ENGINE_RESTARTS, [_each(lambda r: r.restarts)], "{restart}", "Restarts of the engine process.")
        counter(m.MODEL_LOADS, [_each(lambda r: r.loads)], "{load}", "Loads of the model.")
        counter(m.MODEL_UNLOADS, [_each(lambda r: r.unloads)], "{unload}", "Times that the model was unloaded.")
        counter(m.REQUESTS, [_by(m.OUTCOME, lambda r: r.outcomes)], "{request}", "Requests that ended, by outcome.")
        counter(m.SPECULATION, [_by(m.SPECULATION_KIND, lambda r: r.speculated)], "{token}", "Tokens proposed ahead.")
        gauge(m.REPLICA_READY, [_of_replicas(lambda r: int(r.ready))], "", "1 if the replica can answer now, else 0.")
        gauge(m.REPLICA_ACTIVE, [_of_replicas(lambda r: r.active)], "{sequence}", "Sequences in the replica's engine.")
        gauge(
            m.REPLICA_MEMORY,
            [_of_replicas_by(m.MEMORY_KIND, lambda r: r.memory)],
            "By",
            "Memory of the replica's process.",
        )
        counter(m.REPLICA_RESTARTS, [_of_replicas(lambda r: r.restarts)], "{restart}", "Restarts of the replica.")
        counter(
            m.REPLICA_REQUESTS,
            [_of_replicas_by(m.ROUTE, lambda r: r.routed)],
            "{request}",
            "Requests sent to the replica, by the reason for the choice.",
        )
        counter(
            m.TOKENS, [_by(m.TOKEN_KIND, lambda r: r.tally.tokens())], "{token}", "Tokens, counted during generation."
        )


def _each(
    value: Callable[[ModelReading], float | None],
) -> Callable[[CallbackOptions], Iterator[Observation]]:
    """One value per model; none for a model without it."""

    def observe(_: CallbackOptions) -> Iterator[Observation]:
        for reading in readings():
            if (found := value(reading)) is not None:
                yield Observation(found, {names.GEN_AI_REQUEST_MODEL: clean(reading.model)})

    return observe


def _by(
    label: str, values: Callable[[ModelReading], Mapping[str, int]]
) -> Callable[[CallbackOptions], Iterator[Observation]]:
    """One value per model and kind."""

    def observe(_: CallbackOptions) -> Iterator[Observation]:
        for reading in readings():
            for kind, value in values(reading).items():
                yield Observation(value, {names.GEN_AI_REQUEST_MODEL: clean(reading.model), label: kind})

    return observe


def _of_replicas(value: Callable[[ReplicaReading], float]) -> Callable[[CallbackOptions], Iterator[Observation]]:
    """One value per replica; none for a model with one engine."""

    def observe(_: CallbackOptions) -> Iterator[Observation]:
        for reading in readings():
            for replica in reading.replicas:
                yield Observation(value(replica), _replica_labels(reading, replica))

    return observe


def _of_replicas_by(
    label: str, values: Callable[[ReplicaReading], Mapping[str, int]]
) -> Callable[[CallbackOptions], Iterator[Observation]]:
    """One value per replica and kind."""

    def observe(_: CallbackOptions) -> Iterator[Observation]:
        for reading in readings():
            for replica in reading.replicas:
                for kind, value in values(replica).items():
                    yield Observation(value, {**_replica_labels(reading, replica), label: kind})

    return observe


def _replica_labels(reading: ModelReading, replica: ReplicaReading) -> dict[str, str]:
    return {names.GEN_AI_REQUEST_MODEL: clean(reading.model), m.REPLICA: str(replica.replica)}


_instruments = Instruments(metrics.get_meter(SCOPE))


def instruments() -> Instruments:
    """The instruments in use."""
    return _instruments
