"""A transcription as subtitles: SubRip (`srt`) and WebVTT (`vtt`)."""

from __future__ import annotations

from collections.abc import Sequence

from providers.transcription.types import Segment

__all__ = ["srt", "vtt"]


def srt(segments: Sequence[Segment]) -> str:
    """Numbered cues. Empty where there is no speech."""
    cues = (
        f"{number}\n{_time(segment.start, ',')} --> {_time(segment.end, ',')}\n{_line(segment)}\n"
        for number, segment in enumerate(segments, start=1)
    )
    return "\n".join(cues)


def vtt(segments: Sequence[Segment]) -> str:
    """A header and cues. The three characters that WebVTT reads as markup are escaped."""
    cues = (
        f"{_time(segment.start, '.')} --> {_time(segment.end, '.')}\n{_escaped(_line(segment))}\n"
        for segment in segments
    )
    return "\n".join(["WEBVTT\n", *cues])


def _line(segment: Segment) -> str:
    """The text of the cue. An arrow such as that between times would end the cue."""
    return " ".join(segment.text.split()).replace("-->", "->")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _time(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, fraction = divmod(milliseconds, 1000)
    return f"{hours:02d}:{minutes:02d}:{whole:02d}{point}{fraction:03d}"
