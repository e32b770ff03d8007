"""From the tokens of one window to segments: cut at the timestamps, put in order, with words and probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import msgspec
from mlx_audio.stt.models.whisper.audio import HOP_LENGTH, N_FRAMES, SAMPLE_RATE
from mlx_audio.stt.models.whisper.decoding import DecodingResult

from providers.engines.transcription.tokenizer import Tokenizer
from providers.transcription.types import Segment, TokenProbability, Word

__all__ = ["Cut", "cut", "in_order", "to_segments"]

_FRAMES_PER_TOKEN = N_FRAMES // 1500
"""Frames of the spectrogram for each step of the timestamps: 2, in every Whisper."""
_SECONDS_PER_FRAME = HOP_LENGTH / SAMPLE_RATE
_DIGITS = 3
"""Times are rounded to the millisecond."""


@attrs.frozen
class Cut:
    """The pieces of a window, in the form for `add_word_timestamps`, and how far the window is transcribed.

    `heard` is in frames. `to_the_end`: the model predicts no speech after the last piece.
    """

    pieces: list[dict[str, Any]]
    heard: int
    to_the_end: bool


def cut(tokens: Sequence[int], tokenizer: Tokenizer, *, begin: int, frames: int) -> Cut:
    """Cut where two timestamps follow each other. The next window repeats what comes after the last such place.

    `begin` is the window's first frame, `frames` how many it has.
    """
    zero: int = tokenizer.timestamp_begin
    stamped = [token >= zero for token in tokens]
    closed = stamped[-2:] == [False, True]
    cuts = [place for place in range(1, len(tokens)) if stamped[place - 1] and stamped[place]]

    def piece(first: int, last: int, start: int, end: int) -> dict[str, Any]:
        """The piece of these tokens. `start` and `end` are frames of the window."""
        return {
            "seek": begin,
            "first": first,
            "tokens": list(tokens[first:last]),
            "start": (begin + start) * _SECONDS_PER_FRAME,
            "end": (begin + end) * _SECONDS_PER_FRAME,
        }

    def frame(place: int) -> int:
        return int((tokens[place] - zero) * _FRAMES_PER_TOKEN)

    if not cuts:
        stamps = [place for place, is_stamp in enumerate(stamped) if is_stamp]
        end = frame(stamps[-1]) if stamps and tokens[stamps[-1]] != zero else frames
        return Cut([piece(0, len(tokens), 0, end)], frames, closed)
    ends = [*cuts, len(tokens)] if closed else cuts
    pieces = [
        piece(first, last, frame(first), frame(last - 1)) for first, last in zip([0, *ends[:-1]], ends, strict=True)
    ]
    return Cut(pieces, frames if closed else frame(ends[-1] - 1), closed)


def to_segments(
    pieces: Sequence[dict[str, Any]], result: DecodingResult, logprobs: Sequence[float] | None, tokenizer: Tokenizer
) -> Iterator[Segment]:
    """The segments of the pieces that have text and a duration.

    `logprobs`: those of every token of the window, if the request wants them. Segments have words if the pieces do.
    """
    for piece in pieces:
        tokens: list[int] = piece["tokens"]
        text = tokenizer.decode([token for token in tokens if token < tokenizer.eot])
        if not text.strip() or piece["start"] == piece["end"]:
            continue
        own = None if logprobs is None else logprobs[piece["first"] : piece["first"] + len(tokens)]
        yield Segment(
            text=text,
            start=float(piece["start"]),
            end=float(piece["end"]),
            seek=piece["seek"] * _SECONDS_PER_FRAME,
            tokens=tokens,
            temperature=float(result.temperature),
            avg_logprob=float(result.avg_logprob),
            compression_ratio=float(result.compression_ratio),
            no_speech_prob=float(result.no_speech_prob),
            words=_words(piece["words"]) if "words" in piece else None,
            logprobs=None if own is None else _probabilities(tokens, own, tokenizer),
        )


def in_order(segment: Segment, begin: float, end: float) -> Segment:
    """Limit a segment to these seconds, and its words to the segment, one after the other.

    Timestamps are guesses, especially at pauses: they may lie past the end of the file, and words may overlap.
    """
    start = _between(segment.start, begin, end)
    stop = _between(segment.end, start, end)
    words: list[Word] = []
    last = start
    for word in segment.words or ():
        word_start = _between(word.start, last, stop)
        last = _between(word.end, word_start, stop)
        words.append(msgspec.structs.replace(word, start=word_start, end=last))
    return msgspec.structs.replace(segment, start=start, end=stop, words=None if segment.words is None else words)


def _between(value: float, least: float, most: float) -> float:
    return round(min(max(value, least), most), _DIGITS)


def _words(words: Sequence[dict[str, Any]]) -> list[Word]:
    return [
        Word(text=word["word"], start=float(word["start"]), end=float(word["end"]), probability=word["probability"])
        for word in words
    ]


def _probabilities(tokens: Sequence[int], logprobs: Sequence[float], tokenizer: Tokenizer) -> list[TokenProbability]:
    found = []
    for token, logprob in zip(tokens, logprobs, strict=True):
        if token < tokenizer.eot:
            raw = tokenizer.encoding.decode_single_token_bytes(token)
            found.append(TokenProbability(raw.decode("utf-8", "replace"), raw, logprob))
    return found
