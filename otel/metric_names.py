"""Every exported metric and its labels, defined once.

Names of the semantic conventions come from `opentelemetry-semantic-conventions`; the others are this project's and
start with `mlx.`.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import GEN_AI_TOKEN_TYPE, GenAiTokenTypeValues
from opentelemetry.semconv._incubating.metrics.gen_ai_metrics import (
    GEN_AI_CLIENT_TOKEN_USAGE,
    GEN_AI_SERVER_REQUEST_DURATION,
    GEN_AI_SERVER_TIME_PER_OUTPUT_TOKEN,
    GEN_AI_SERVER_TIME_TO_FIRST_TOKEN,
)
from opentelemetry.semconv._incubating.metrics.http_metrics import (
    HTTP_SERVER_ACTIVE_REQUESTS,
    HTTP_SERVER_REQUEST_BODY_SIZE,
    HTTP_SERVER_RESPONSE_BODY_SIZE,
)
from opentelemetry.semconv.metrics.http_metrics import HTTP_SERVER_REQUEST_DURATION

__all__ = [
    "AUDIO_DURATION",
    "AUDIO_REAL_TIME_FACTOR",
    "BATCH_OCCUPANCY",
    "ENGINE_MEMORY",
    "ENGINE_RESTARTS",
    "GEN_AI_CLIENT_TOKEN_USAGE",
    "GEN_AI_SERVER_REQUEST_DURATION",
    "GEN_AI_SERVER_TIME_PER_OUTPUT_TOKEN",
    "GEN_AI_SERVER_TIME_TO_FIRST_TOKEN",
    "GEN_AI_TOKEN_TYPE",
    "HTTP_SERVER_ACTIVE_REQUESTS",
    "HTTP_SERVER_REQUEST_BODY_SIZE",
    "HTTP_SERVER_REQUEST_DURATION",
    "HTTP_SERVER_RESPONSE_BODY_SIZE",
    "IGNORED_PARAMETERS",
    "MEMORY_KIND",
    "MODEL_LOADS",
    "MODEL_READY",
    "MODEL_UNLOADS",
    "OUTCOME",
    "PARAMETER",
    "PLAYBACK_STALLS",
    "PLAYBACK_TIME_TO_FIRST_SOUND",
    "PREFIX_CACHE_HIT_RATIO",
    "PREFIX_CACHE_SIZE",
    "QUEUE_DEPTH",
    "QUEUE_WAIT",
    "REPLICA",
    "REPLICA_ACTIVE",
    "REPLICA_MEMORY",
    "REPLICA_READY",
    "REPLICA_REQUESTS",
    "REPLICA_RESTARTS",
    "REQUESTS",
    "REQUESTS_ACTIVE",
    "ROUTE",
    "SPECULATION",
    "SPECULATION_KIND",
    "TOKENS",
    "TOKEN_KIND",
    "GenAiTokenTypeValues",
]

QUEUE_DEPTH: Final = "mlx.queue.depth"
QUEUE_WAIT: Final = "mlx.queue.wait"
REQUESTS: Final = "mlx.requests"
"""Requests that ended, by `OUTCOME`."""
REQUESTS_ACTIVE: Final = "mlx.requests.active"
BATCH_OCCUPANCY: Final = "mlx.batch.occupancy"
"""Sequences in the engine: a request for several answers has several."""
MODEL_READY: Final = "mlx.model.ready"
TOKENS: Final = "mlx.tokens"
"""Counted during generation, by `TOKEN_KIND`; the conventions' histogram counts them only after the answer."""
PREFIX_CACHE_SIZE: Final = "mlx.prefix_cache.size"
PREFIX_CACHE_HIT_RATIO: Final = "mlx.prefix_cache.hit_ratio"
"""Share of all prompt tokens since the start that were read from the prefix cache."""
SPECULATION: Final = "mlx.speculation"
"""Tokens proposed ahead of the model since the engine's start, by `SPECULATION_KIND`."""
ENGINE_MEMORY: Final = "mlx.engine.memory"
"""By `MEMORY_KIND`."""
ENGINE_RESTARTS: Final = "mlx.engine.restarts"
REPLICA_READY: Final = "mlx.replica.ready"
REPLICA_ACTIVE: Final = "mlx.replica.sequences"
"""Answers that a replica generates."""
REPLICA_REQUESTS: Final = "mlx.replica.requests"
"""Requests that a replica was sent, by `ROUTE`."""
REPLICA_RESTARTS: Final = "mlx.replica.restarts"
REPLICA_MEMORY: Final = "mlx.replica.memory"
"""By `MEMORY_KIND`."""
MODEL_LOADS: Final = "mlx.model.loads"
MODEL_UNLOADS: Final = "mlx.model.unloads"
AUDIO_REAL_TIME_FACTOR: Final = "mlx.audio.real_time_factor"
"""Seconds of work per second of audio, synthesized or transcribed: below 1 is faster than playback."""
AUDIO_DURATION: Final = "mlx.audio.duration"
PLAYBACK_TIME_TO_FIRST_SOUND: Final = "mlx.playback.time_to_first_sound"
"""From a client's request to the first sound that its listener heard, as the client reports it."""
PLAYBACK_STALLS: Final = "mlx.playback.stalls"
"""Interruptions of the sound by pieces that arrived late, as clients report them."""
IGNORED_PARAMETERS: Final = "mlx.ignored_parameters"
"""Parameters of requests that had no effect, by `PARAMETER`."""

OUTCOME: Final = "mlx.outcome"
"""`completed`, `failed`, `cancelled` or `rejected`."""
REPLICA: Final = "mlx.replica"
"""Number of one of a model's engines, counted from 0; a model with one engine has none."""
ROUTE: Final = "mlx.route"
"""Why a replica was chosen: `prefix`, `key`, `load` or `overload`."""
PARAMETER: Final = "mlx.parameter"
"""Name of a parameter that the server knows, or `unknown`."""
MEMORY_KIND: Final = "mlx.memory.kind"
"""`rss` (the process, as the system counts it), `active`, `peak` and `cache` (as MLX counts them)."""
SPECULATION_KIND: Final = "mlx.speculation.kind"
"""`proposed` or `accepted` (of those)."""
TOKEN_KIND: Final = "mlx.token.kind"
"""`prompt`, `cached` (tokens of the prompt read from the prefix cache) or `generated`."""
