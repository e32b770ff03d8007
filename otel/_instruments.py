"""The instruments that metrics are recorded with. They do nothing until `setup` has set a meter provider."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation

from otel import metric_names as m
from otel import names
from otel._operation import SCOPE, clean
from otel._readings import ModelReading, readings

__all__ = ["Instruments", "instruments"]

_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""What the conventions advise for `gen_ai.server.request.duration`."""
_FIRST_TOKEN: Final = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_PER_TOKEN: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
_HTTP: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 120)
_BYTES: Final = (256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
_WAIT: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_FACTOR: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 5, 10)

_logger = logging.getLogger(__name__)


class Active:
    """Requests in flight by their labels: counted as plain numbers, told when metrics are collected."""

    def __init__(self) -> None:
        self._counts: dict[tuple[tuple[str, str], ...], int] = {}

    def change(self, labels: Mapping[str, str], by: int) -> None:
        key = tuple(labels.items())
        self._counts[key] = self._counts.get(key, 0) + by

    def observe(self, _: CallbackOptions) -> list[Observation]:
        return [Observation(count, dict(key)) for key, count in tuple(self._counts.items())]


class Instruments:
    """All of them, on one meter."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.request_duration = self._histogram(
            m.GEN_AI_SERVER_REQUEST_DURATION, "s", "From the queue's door to the last piece of the answer.", _SECONDS
        )
        self.time_to_first_token = self._histogram(
            m.GEN_AI_SERVER_TIME_TO_FIRST_TOKEN, "s", "From the queue's door to the first piece.", _FIRST_TOKEN
        )
        self.time_per_output_token = self._histogram(
            m.GEN_AI_SERVER_TIME_PER_OUTPUT_TOKEN, "s", "Mean time a token after the first took.", _PER_TOKEN
        )
        self.token_usage = self._histogram(
            m.GEN_AI_CLIENT_TOKEN_USAGE, "{token}", "Tokens of the prompt and of the answer.", _TOKENS
        )
        self.queue_wait = self._histogram(m.QUEUE_WAIT, "s", "Wait of requests that got a place.", _WAIT)
        self.real_time_factor = self._histogram(
            m.AUDIO_REAL_TIME_FACTOR, "1", "Seconds of work a second of audio.", _FACTOR
        )
        self.audio = meter.create_counter(m.AUDIO_DURATION, "s", "Audio spoken or heard.")
        self.http_duration = self._histogram(
            m.HTTP_SERVER_REQUEST_DURATION, "s", "From the request's header to the last byte of the answer.", _HTTP
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

    def _histogram(self, name: str, unit: str, description: str, bounds: Iterable[float]) -> Histogram:
        return self._meter.create_histogram(
            name, unit, description, explicit_bucket_boundaries_advisory=[float(bound) for bound in bounds]
        )

    def _observe_models(self) -> None:
        """What models tell when they are asked: nothing is done for these while requests run."""
        gauge, counter = self._meter.create_observable_gauge, self._meter.create_observable_counter
        gauge(m.QUEUE_DEPTH, [_each(lambda r: r.pending)], "{request}", "Requests that wait for a place.")
        gauge(m.REQUESTS_ACTIVE, [_each(lambda r: r.active)], "{request}", "Requests that have a place.")
        gauge(m.BATCH_OCCUPANCY, [_each(lambda r: r.rows)], "{row}", "Answers in the engine at once.")
        gauge(m.MODEL_READY, [_each(lambda r: int(r.ready))], "", "1 where the model can answer now.")
        gauge(m.PREFIX_CACHE_SIZE, [_each(lambda r: r.prefix_cache)], "By", "Earlier prompts kept for the next turn.")
        gauge(m.PREFIX_CACHE_HIT_RATIO, [_each(lambda r: r.tally.hit_ratio)], "1", "Prompt tokens read from the cache.")
        gauge(m.ENGINE_MEMORY, [_by(m.MEMORY_KIND, lambda r: r.memory)], "By", "Memory of the engine process.")
        counter(m.ENGINE_RESTARTS, [_each(lambda r: r.restarts)], "{restart}", "Deaths that a restart followed.")
        counter(m.REQUESTS, [_by(m.OUTCOME, lambda r: r.outcomes)], "{request}", "Requests by how they ended.")
        counter(m.SPECULATION, [_by(m.SPECULATION_KIND, lambda r: r.speculated)], "{token}", "Tokens proposed ahead.")
        counter(m.TOKENS, [_by(m.TOKEN_KIND, lambda r: r.tally.tokens())], "{token}", "Tokens, as they come.")


def _each(
    value: Callable[[ModelReading], float | None],
) -> Callable[[CallbackOptions], Iterator[Observation]]:
    """One value a model; none where the model has none."""

    def observe(_: CallbackOptions) -> Iterator[Observation]:
        for reading in readings():
            if (found := value(reading)) is not None:
                yield Observation(found, {names.GEN_AI_REQUEST_MODEL: clean(reading.model)})

    return observe


def _by(
    label: str, values: Callable[[ModelReading], Mapping[str, int]]
) -> Callable[[CallbackOptions], Iterator[Observation]]:
    """One value a model and kind."""

    def observe(_: CallbackOptions) -> Iterator[Observation]:
        for reading in readings():
            for kind, value in values(reading).items():
                yield Observation(value, {names.GEN_AI_REQUEST_MODEL: clean(reading.model), label: kind})

    return observe


_instruments = Instruments(metrics.get_meter(SCOPE))


def instruments() -> Instruments:
    """Those in use."""
    return _instruments
