"""Every attribute and event name of the spans, defined once.

Names of the semantic conventions come from `opentelemetry-semantic-conventions`. The others are this project's and
start with `mlx.` (except `request.id`, the name that clients and logs use).
"""

from __future__ import annotations

from typing import Final

from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import (
    GEN_AI_CONVERSATION_ID,
    GEN_AI_DATA_SOURCE_ID,
    GEN_AI_EMBEDDINGS_DIMENSION_COUNT,
    GEN_AI_INPUT_MESSAGES,
    GEN_AI_OPERATION_NAME,
    GEN_AI_OUTPUT_MESSAGES,
    GEN_AI_PROVIDER_NAME,
    GEN_AI_REQUEST_CHOICE_COUNT,
    GEN_AI_REQUEST_FREQUENCY_PENALTY,
    GEN_AI_REQUEST_MAX_TOKENS,
    GEN_AI_REQUEST_MODEL,
    GEN_AI_REQUEST_PRESENCE_PENALTY,
    GEN_AI_REQUEST_SEED,
    GEN_AI_REQUEST_STOP_SEQUENCES,
    GEN_AI_REQUEST_STREAM,
    GEN_AI_REQUEST_TEMPERATURE,
    GEN_AI_REQUEST_TOP_K,
    GEN_AI_REQUEST_TOP_P,
    GEN_AI_RESPONSE_FINISH_REASONS,
    GEN_AI_RESPONSE_ID,
    GEN_AI_RESPONSE_MODEL,
    GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK,
    GEN_AI_TOOL_CALL_ID,
    GEN_AI_TOOL_DEFINITIONS,
    GEN_AI_TOOL_NAME,
    GEN_AI_TOOL_TYPE,
    GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
    GEN_AI_USAGE_INPUT_TOKENS,
    GEN_AI_USAGE_OUTPUT_TOKENS,
    GenAiOperationNameValues,
)
from opentelemetry.semconv._incubating.attributes.http_attributes import (
    HTTP_REQUEST_BODY_SIZE,
    HTTP_RESPONSE_BODY_SIZE,
)
from opentelemetry.semconv._incubating.metrics.gen_ai_metrics import GEN_AI_SERVER_TIME_TO_FIRST_TOKEN
from opentelemetry.semconv.attributes.client_attributes import CLIENT_ADDRESS
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.exception_attributes import EXCEPTION_STACKTRACE, EXCEPTION_TYPE
from opentelemetry.semconv.attributes.http_attributes import (
    HTTP_REQUEST_METHOD,
    HTTP_REQUEST_METHOD_ORIGINAL,
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
    HttpRequestMethodValues,
)
from opentelemetry.semconv.attributes.url_attributes import URL_PATH, URL_SCHEME
from opentelemetry.semconv.attributes.user_agent_attributes import USER_AGENT_ORIGINAL

__all__ = [
    "AUDIO_SECONDS",
    "CANCELLED",
    "CLIENT_ADDRESS",
    "DECODE_TOKENS_PER_SECOND",
    "EMBEDDING_INPUTS",
    "ERROR_TYPE",
    "EVENT_ADMITTED",
    "EVENT_CANCELLED",
    "EVENT_FIRST_AUDIO",
    "EVENT_FIRST_PIECE",
    "EVENT_FIRST_TOKEN",
    "EVENT_PLAYBACK_ENDED",
    "EVENT_PLAYBACK_PAUSED",
    "EVENT_PLAYBACK_RESUMED",
    "EVENT_PLAYBACK_STALLED",
    "EVENT_PLAYBACK_STARTED",
    "EVENT_PLAYBACK_STOPPED",
    "EVENT_PREFIX_CACHE_HIT",
    "EVENT_ROUTED",
    "EVENT_SPEECH_STOPPED",
    "EVENT_STEP",
    "EVENT_TRANSCRIBED",
    "EXCEPTION_STACKTRACE",
    "EXCEPTION_TYPE",
    "GEN_AI_CONVERSATION_ID",
    "GEN_AI_DATA_SOURCE_ID",
    "GEN_AI_EMBEDDINGS_DIMENSION_COUNT",
    "GEN_AI_INPUT_MESSAGES",
    "GEN_AI_OPERATION_NAME",
    "GEN_AI_OUTPUT_MESSAGES",
    "GEN_AI_PROVIDER_NAME",
    "GEN_AI_REQUEST_CHOICE_COUNT",
    "GEN_AI_REQUEST_FREQUENCY_PENALTY",
    "GEN_AI_REQUEST_MAX_TOKENS",
    "GEN_AI_REQUEST_MODEL",
    "GEN_AI_REQUEST_PRESENCE_PENALTY",
    "GEN_AI_REQUEST_SEED",
    "GEN_AI_REQUEST_STOP_SEQUENCES",
    "GEN_AI_REQUEST_STREAM",
    "GEN_AI_REQUEST_TEMPERATURE",
    "GEN_AI_REQUEST_TOP_K",
    "GEN_AI_REQUEST_TOP_P",
    "GEN_AI_RESPONSE_FINISH_REASONS",
    "GEN_AI_RESPONSE_ID",
    "GEN_AI_RESPONSE_MODEL",
    "GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK",
    "GEN_AI_SERVER_TIME_TO_FIRST_TOKEN",
    "GEN_AI_TOOL_CALL_ID",
    "GEN_AI_TOOL_DEFINITIONS",
    "GEN_AI_TOOL_NAME",
    "GEN_AI_TOOL_TYPE",
    "GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS",
    "GEN_AI_USAGE_INPUT_TOKENS",
    "GEN_AI_USAGE_OUTPUT_TOKENS",
    "GROUNDING_FOUND",
    "GROUNDING_STORES",
    "GROUNDING_TOKENS",
    "GROUNDING_USED",
    "HTTP_REQUEST_BODY_SIZE",
    "HTTP_REQUEST_METHOD",
    "HTTP_REQUEST_METHOD_ORIGINAL",
    "HTTP_RESPONSE_BODY_SIZE",
    "HTTP_RESPONSE_STATUS_CODE",
    "HTTP_ROUTE",
    "IMAGE_COUNT",
    "IMAGE_HEIGHT",
    "IMAGE_INDEX",
    "IMAGE_SOURCES",
    "IMAGE_STEPS",
    "IMAGE_WIDTH",
    "MEDIA_CONTENT_BYTES",
    "MEDIA_PICTURES",
    "MEDIA_PIXEL_BYTES",
    "PICTURES_ENCODED",
    "PLAYBACK_PLAYED",
    "PLAYBACK_STALLED",
    "PLAYBACK_STALLS",
    "PLAYBACK_TIME_TO_FIRST_SOUND",
    "PROVIDER",
    "QUEUE_DEPTH",
    "QUEUE_WAIT_SECONDS",
    "REPLICA",
    "REPLICA_ROUTE",
    "REQUEST_ID",
    "RETRIEVAL_CHARACTERS",
    "RETRIEVAL_PASSAGES",
    "SPEECH_CHARACTERS",
    "SPEECH_DURATION",
    "SPEECH_REAL_TIME_FACTOR",
    "SPEECH_SPEED",
    "SPEECH_VOICE",
    "TRANSCRIPTION_LANGUAGE",
    "TRANSCRIPTION_TASK",
    "TRANSCRIPTION_WINDOWS",
    "UNLOAD_REASON",
    "URL_PATH",
    "URL_SCHEME",
    "USER_AGENT_ORIGINAL",
    "GenAiOperationNameValues",
    "HttpRequestMethodValues",
]

PROVIDER: Final = "mlx"
"""Value of `gen_ai.provider.name`."""
REQUEST_ID: Final = "request.id"
EMBEDDING_INPUTS: Final = "mlx.embeddings.inputs"
"""Number of texts to embed, or documents to rank, in one request."""
REPLICA: Final = "mlx.replica"
"""Number of the replica that answers, counted from 0. A model with one engine has none."""
REPLICA_ROUTE: Final = "mlx.replica.route"
"""Why that one: `prefix`, `key`, `load` or `overload`."""
CANCELLED: Final = "mlx.cancelled"
"""True if the client disconnected before the end."""
UNLOAD_REASON: Final = "mlx.unload.reason"
"""Why a model was unloaded, in words."""
QUEUE_DEPTH: Final = "mlx.queue.depth"
"""Number of requests waiting when this one entered the queue."""
QUEUE_WAIT_SECONDS: Final = "mlx.queue.wait_seconds"
DECODE_TOKENS_PER_SECOND: Final = "mlx.decode.tokens_per_second"

GROUNDING_STORES: Final = "mlx.grounding.stores"
"""Number of vector stores searched."""
GROUNDING_FOUND: Final = "mlx.grounding.found"
"""Number of passages found."""
GROUNDING_USED: Final = "mlx.grounding.used"
"""Number of passages in the prompt."""
GROUNDING_TOKENS: Final = "mlx.grounding.tokens"
"""Tokens of the prompt that the passages take."""
RETRIEVAL_CHARACTERS: Final = "mlx.retrieval.characters"
"""Length of the text of an indexed file."""
RETRIEVAL_PASSAGES: Final = "mlx.retrieval.passages"
"""Number of passages that a search returned, or that a file was divided into."""

SPEECH_CHARACTERS: Final = "mlx.speech.characters"
SPEECH_DURATION: Final = "mlx.speech.duration"
"""Seconds of audio."""
SPEECH_REAL_TIME_FACTOR: Final = "mlx.speech.real_time_factor"
"""Seconds of work per second of audio."""
SPEECH_SPEED: Final = "mlx.speech.speed"
SPEECH_VOICE: Final = "mlx.speech.voice"
AUDIO_SECONDS: Final = "mlx.audio.seconds"
"""Length of the transcribed recording."""
TRANSCRIPTION_LANGUAGE: Final = "mlx.transcription.language"
TRANSCRIPTION_TASK: Final = "mlx.transcription.task"
"""`transcribe` or `translate`."""
TRANSCRIPTION_WINDOWS: Final = "mlx.transcription.windows"
"""Number of windows of up to thirty seconds that were transcribed."""

IMAGE_COUNT: Final = "mlx.image.count"
"""Number of images requested."""
IMAGE_SOURCES: Final = "mlx.image.sources"
"""Number of images to edit."""
IMAGE_INDEX: Final = "mlx.image.index"
"""Number of the image within its request, from 0."""
IMAGE_WIDTH: Final = "mlx.image.width"
IMAGE_HEIGHT: Final = "mlx.image.height"
IMAGE_STEPS: Final = "mlx.image.steps"
"""Number of denoising steps per image."""

MEDIA_PICTURES: Final = "mlx.media.pictures"
PICTURES_ENCODED: Final = "mlx.pictures.encoded"
"""Number of different pictures that were decoded for a chat."""
MEDIA_CONTENT_BYTES: Final = "mlx.media.content_bytes"
"""Size of their files together."""
MEDIA_PIXEL_BYTES: Final = "mlx.media.pixel_bytes"
"""Size of their pixels together."""

PLAYBACK_TIME_TO_FIRST_SOUND: Final = "mlx.playback.time_to_first_sound"
"""Seconds from the client's request to the first sound that was heard, by the client's clock."""
PLAYBACK_STALLS: Final = "mlx.playback.stalls"
"""How often the sound waited for a piece that had not arrived."""
PLAYBACK_STALLED: Final = "mlx.playback.stalled"
"""Seconds of those waits together."""
PLAYBACK_PLAYED: Final = "mlx.playback.played"
"""Seconds of the answer that were played."""

TURN_STATUS: Final = "mlx.turn.status"
"""How the response of a turn ended, as the client received it."""

EVENT_ADMITTED: Final = "queue.admitted"
EVENT_ROUTED: Final = "replica.chosen"
"""A replica was chosen for the request."""
"""Event of the server span: the request has its slot."""
EVENT_FIRST_TOKEN: Final = "first_token"
EVENT_FIRST_AUDIO: Final = "first_audio"
"""The first sound of a spoken turn was made."""
EVENT_SPEECH_STOPPED: Final = "speech_stopped"
"""The end of the user's speech was found, which is a silence after it."""
EVENT_TRANSCRIBED: Final = "transcribed"
"""The words that a turn answers are known."""
EVENT_FIRST_PIECE: Final = "first_piece"
"""First output chunk of an answer that is not text: of speech, the first audio."""
EVENT_PLAYBACK_STARTED: Final = "playback.started"
"""The first sound was heard."""
EVENT_PLAYBACK_STALLED: Final = "playback.stalled"
"""The sound waited for a piece that had not arrived."""
EVENT_PLAYBACK_PAUSED: Final = "playback.paused"
EVENT_PLAYBACK_RESUMED: Final = "playback.resumed"
EVENT_PLAYBACK_ENDED: Final = "playback.ended"
"""The sound was played to its end."""
EVENT_PLAYBACK_STOPPED: Final = "playback.stopped"
"""The sound was cut off."""
EVENT_PREFIX_CACHE_HIT: Final = "prefix_cache.hit"
EVENT_STEP: Final = "step"
"""The end of a denoising step."""
EVENT_CANCELLED: Final = "cancelled"
"""The client disconnected."""
