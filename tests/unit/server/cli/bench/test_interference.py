"""The results of `bench interfere` from recorded times."""

from __future__ import annotations

import pytest

from server.cli.bench.client import Sample
from server.cli.bench.interference import Interference


def sample(started: float, *chunks: float, error: str | None = None) -> Sample:
    return Sample(
        started=started,
        ended=chunks[-1] if chunks else started,
        chunks=chunks,
        completion_tokens=len(chunks),
        error=error,
    )


ALONE = sample(0, 4)
STREAM = sample(5, 6, 7, 8, 10, 12, 14, 15)


def test_gaps_count_as_disturbed_from_the_prompt_s_arrival_to_its_first_token() -> None:
    found = Interference.of(STREAM, ALONE, sample(8.5, 13.5))
    assert (found.quiet_p95, found.disturbed_p50, found.disturbed_max, found.ratio) == (1, 2, 2, 2)
    assert (found.alone_first_token, found.beside_first_token) == (4, 5)
    assert found.error is None


@pytest.mark.parametrize(
    ("stream", "beside", "error"),
    [
        (sample(5, 6, 7, 8, 9), sample(8.5, 13.5), "the stream ended before the prompt's first token"),
        (STREAM, sample(8.5, error="503: no"), "503: no"),
    ],
)
def test_samples_that_cannot_be_compared_are_an_error(stream: Sample, beside: Sample, error: str) -> None:
    found = Interference.of(stream, ALONE, beside)
    assert found.error is not None
    assert error in found.error
