"""What rank 0 sends to the others: length-prefixed MessagePack, in the order in which it happens on rank 0."""

from __future__ import annotations

import struct
from typing import Any

import msgspec

__all__ = ["HEADER", "Cancel", "Order", "Step", "Submit", "Tidy", "Value", "decode", "frame"]

HEADER = struct.Struct("<I")


class Submit(msgspec.Struct, frozen=True, tag="s"):
    """Queue a job. `job`: what the engine's `pack` returned."""

    job: dict[str, Any]


class Cancel(msgspec.Struct, frozen=True, tag="c"):
    """Drop a job in any stage."""

    id: str


class Step(msgspec.Struct, frozen=True, tag="n"):
    """Do one step."""


class Tidy(msgspec.Struct, frozen=True, tag="t"):
    """Use an idle moment."""


class Value(msgspec.Struct, frozen=True, tag="v"):
    """What rank 0 decided inside a step, or while it loaded."""

    value: Any


Order = Submit | Cancel | Step | Tidy | Value

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)


def frame(order: Order) -> bytes:
    body = _encoder.encode(order)
    return HEADER.pack(len(body)) + body


def decode(body: bytes) -> Order:
    return _decoder.decode(body)
