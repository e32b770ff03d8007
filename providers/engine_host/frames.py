"""The engine's socket: length-prefixed MessagePack frames, and every message that crosses it.

A frame is a 4-byte little-endian length and a MessagePack body. The server process sends `Command`s, the engine process
sends `Report`s. The events of one decode step, for every sequence of the batch, are one frame.
"""

from __future__ import annotations

import signal
import struct
from typing import Any, Literal

import msgspec

from providers.chat.types import GenerationEvent, GenerationRequest, Prompt
from providers.embeddings.types import EmbeddingEvent, EmbeddingRequest, RerankRequest
from providers.image.types import ImageEvent, ImageRequest
from providers.spec import ModelSpec
from providers.speech.types import SpeechEvent, SpeechRequest
from providers.transcription.types import TranscriptionEvent, TranscriptionRequest

__all__ = [
    "HEADER_BYTES",
    "MAX_FRAME_BYTES",
    "STACK_SIGNAL",
    "Activity",
    "Answer",
    "Beat",
    "Cancel",
    "Command",
    "Detokenize",
    "Detokenized",
    "EngineEvent",
    "EngineInfo",
    "EngineRequest",
    "Events",
    "Failed",
    "Generate",
    "Load",
    "LoadFailed",
    "Loading",
    "Locate",
    "Located",
    "Memory",
    "Question",
    "Ready",
    "Report",
    "Tokenize",
    "Tokenized",
    "decode_command",
    "decode_report",
    "encode",
    "frame_length",
]

MAX_FRAME_BYTES = 64 * 1024 * 1024
_HEADER = struct.Struct("<I")
HEADER_BYTES = _HEADER.size
STACK_SIGNAL = signal.SIGUSR1
"""Makes an engine write the stacks of its threads to its stderr."""


class Load(msgspec.Struct, frozen=True, tag="load"):
    """Become the engine of this model. The first command."""

    spec: ModelSpec


EngineRequest = (
    GenerationRequest | SpeechRequest | EmbeddingRequest | RerankRequest | TranscriptionRequest | ImageRequest
)
"""Requests that an engine of some family answers with events."""
EngineEvent = GenerationEvent | SpeechEvent | EmbeddingEvent | TranscriptionEvent | ImageEvent


class Generate(msgspec.Struct, frozen=True, tag="generate"):
    """Start a request. `request.id` names it in every report; `trace` is the `traceparent` for its log lines."""

    request: EngineRequest
    trace: str | None = None


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Drop a request. Unknown ids are ignored: the request may just have finished."""

    id: str


class Tokenize(msgspec.Struct, frozen=True, tag="tokenize"):
    """Tokenize a prompt. `Tokenized` or `Failed` answers it, whatever the batch is doing.

    `add_special_tokens` None: as for generation. The prompt may be longer than the context.
    """

    id: str
    prompt: Prompt
    add_special_tokens: bool | None = None


class Detokenize(msgspec.Struct, frozen=True, tag="detokenize"):
    """Turn tokens into text. `Detokenized` or `Failed` answers it.

    `separately`: each token on its own, as the vocabulary writes it.
    """

    id: str
    tokens: list[int]
    separately: bool = False


class Locate(msgspec.Struct, frozen=True, tag="locate"):
    """Find the tokens of a text for an embedding model. `Located` or `Failed` answers it."""

    id: str
    text: str


Question = Tokenize | Detokenize | Locate
"""What an engine answers whatever the batch is doing."""

Command = Load | Generate | Cancel | Question


class EngineInfo(msgspec.Struct, frozen=True):
    """The loaded model and how it runs, for the log, `doctor` and the models page."""

    context_length: int | None
    device: str
    """`cpu`, `metal` or `cuda`."""
    dtype: str
    blas: str
    """The library that computes MLX's matrix products on the CPU; `-` on another device."""
    load_seconds: float
    details: dict[str, Any] = {}


class Loading(msgspec.Struct, frozen=True, tag="loading"):
    """Progress before `Ready`: a stage in words and, if known, a fraction from 0 to 1."""

    stage: str
    fraction: float | None = None


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """Loaded and warm."""

    info: EngineInfo


class LoadFailed(msgspec.Struct, frozen=True, tag="load_failed"):
    """The model cannot be loaded. The engine exits after this report."""

    message: str
    permanent: bool = True
    """Whether the same start would fail again: an unknown architecture, files that are missing. False where memory, a
    disk or the system was short of something."""


class Events(msgspec.Struct, frozen=True, tag="e"):
    """The events of one decode step, for the whole batch: `(request id, event)` in order."""

    items: list[tuple[str, EngineEvent]]


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """A request ended with an error (the fields of `ServiceError.to_fields`)."""

    id: str
    code: str
    message: str
    param: str | None = None
    retry_after: float | None = None


class Memory(msgspec.Struct, frozen=True, tag="memory"):
    """The engine's memory in bytes, reported when it becomes idle and at most once per second while it works.

    `speculated`: tokens `proposed` and `accepted` since the start; empty without speculation.
    """

    active: int
    peak: int
    cache: int
    prefix_cache: int
    speculated: dict[str, int] = {}


Activity = Literal["loading", "idle", "working", "tidying"]
"""What the MLX thread does. `loading` includes the warm-up; `tidying` is work that an idle engine does by itself."""


class Beat(msgspec.Struct, frozen=True, tag="b"):
    """A sign of life, sent once per second by the thread that writes to the socket.

    The host compares two of them: a thread that works and whose number does not change hangs.
    """

    activity: Activity
    steps: int
    """Units of work that the MLX thread has finished."""
    commands: int
    """Commands that the intake has begun to read."""
    preparing: bool
    """Whether the intake works on the last of them."""


class Tokenized(msgspec.Struct, frozen=True, tag="tokenized"):
    """The answer to `Tokenize`."""

    id: str
    tokens: list[int]


class Detokenized(msgspec.Struct, frozen=True, tag="detokenized"):
    """The answer to `Detokenize`: one text, or one per token."""

    id: str
    texts: list[str]


class Located(msgspec.Struct, frozen=True, tag="located"):
    """The answer to `Locate`: the place of each token's first character in the text, in ascending order.

    `room`: the tokens that fit into the model's context beside its special tokens.
    """

    id: str
    starts: list[int]
    room: int


Answer = Tokenized | Detokenized | Located
"""The answers to questions."""

Report = Loading | Ready | LoadFailed | Events | Failed | Memory | Beat | Answer

_encoder = msgspec.msgpack.Encoder()
_command_decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_report_decoder: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)


def encode(message: Command | Report) -> bytes:
    """The message as a whole frame, header included.

    Raises:
        ValueError: the frame is over `MAX_FRAME_BYTES`.
    """
    body = _encoder.encode(message)
    if len(body) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(body)} bytes is over the limit of {MAX_FRAME_BYTES}")
    return _HEADER.pack(len(body)) + body


def frame_length(header: bytes | bytearray) -> int:
    """Length in bytes of the body that follows this header."""
    (length,) = _HEADER.unpack(header)
    return int(length)


def decode_command(body: bytes) -> Command:
    return _command_decoder.decode(body)


def decode_report(body: bytes) -> Report:
    return _report_decoder.decode(body)
