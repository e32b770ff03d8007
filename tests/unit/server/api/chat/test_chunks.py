"""The fast path of chunk encoding writes what the converter would."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.chat.response import ChatCompletionChunk, ChatCompletionChunkChoice, ChatCompletionChunkDelta
from providers.chat.types import Accepted, Finished, GenerationEvent, TextDelta, Usage
from server.api.chat.response import ChatChunkEncoder
from server.api.generation.header import AnswerHeader
from server.serialization import encode_contract

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def header(model: str = "m") -> AnswerHeader:
    return AnswerHeader(id="chatcmpl-1", created=1, model=model, system_fingerprint="fp_1", request_id='a"b')


def text_chunk(head: AnswerHeader, text: str) -> bytes:
    chunk = ChatCompletionChunk(
        id=head.id,
        created=head.created,
        model=head.model,
        system_fingerprint=head.system_fingerprint,
        request_id=head.request_id,
        choices=[ChatCompletionChunkChoice(delta=ChatCompletionChunkDelta(content=text))],
    )
    return b"data: " + encode_contract(chunk) + b"\n\n"


@given(text=TEXTS, model=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_chunk_is_byte_for_byte_the_converter_s(text: str, model: str) -> None:
    head = header(model)
    assert ChatChunkEncoder(head, include_usage=None).encode([TextDelta(text)]) == text_chunk(head, text)


@pytest.mark.parametrize("model", ["\ufffc", '"content":"\ufffc"', "\\", "\n\n", "data: [DONE]\n\n"])
def test_no_model_name_can_break_a_chunk(model: str) -> None:
    head = header(model)
    written = ChatChunkEncoder(head, include_usage=None).encode([TextDelta("x\n\ndata: y")])
    assert written == text_chunk(head, "x\n\ndata: y")
    assert written.count(b"\n\n") == 1


def decoded(written: bytes) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line.removeprefix(b"data: ")) for line in written.split(b"\n\n") if line]


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_neighbouring_text_is_joined_and_nothing_is_lost(texts: list[str]) -> None:
    events: list[GenerationEvent] = [Accepted(1, 0), *(TextDelta(text) for text in texts)]
    events.append(Finished("stop", Usage(1, len(texts)), prefill_seconds=0, decode_seconds=0))

    deltas = [
        chunk["choices"][0]["delta"] for chunk in decoded(ChatChunkEncoder(header(), include_usage=None).encode(events))
    ]

    assert deltas[0] == {"role": "assistant"}
    assert deltas[-1] == {}
    assert [delta["content"] for delta in deltas[1:-1]] == ([joined] if (joined := "".join(texts)) else [])


def test_empty_text_makes_no_chunk() -> None:
    assert ChatChunkEncoder(header(), include_usage=True).encode([TextDelta("")]) == b""


def test_the_fingerprint_depends_on_model_and_version() -> None:
    def fingerprint(model: str, version: str) -> str:
        return AnswerHeader.new(model=model, version=version, request_id="r", prefix="chatcmpl").system_fingerprint

    assert fingerprint("a", "1") == fingerprint("a", "1")
    assert len({fingerprint("a", "1"), fingerprint("b", "1"), fingerprint("a", "2")}) == 3
