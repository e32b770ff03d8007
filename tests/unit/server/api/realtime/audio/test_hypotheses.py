from __future__ import annotations

import pytest

from server.api.realtime.audio.hypotheses import AgreedText


def test_words_are_certain_when_two_transcripts_have_them() -> None:
    agreed = AgreedText()
    heard = ["The quick.", "The quick brown folks", "The quick brown fox jumps", "The quick brown fox jumps over"]

    deltas = [agreed.add(transcript) for transcript in heard]

    assert deltas == ["", "The", " quick brown", " fox jumps"]
    assert agreed.text == "The quick brown fox jumps"
    assert agreed.finish("The quick brown fox jumps over it.") == " over it."


@pytest.mark.parametrize("whole", ["A quick one.", "", "The"])
def test_a_whole_transcript_that_contradicts_adds_nothing(whole: str) -> None:
    agreed = AgreedText()
    agreed.add("The quick brown")
    agreed.add("The quick brown")
    assert agreed.text == "The quick"

    assert agreed.finish(whole) == ""


def test_what_is_certain_is_not_taken_back() -> None:
    agreed = AgreedText()
    for transcript in ("one two three", "one two three", "won two three four", "won two three four"):
        agreed.add(transcript)

    assert agreed.text == "one two"


def test_without_windows_the_whole_transcript_is_one_delta() -> None:
    assert AgreedText().finish("Hello world.") == "Hello world."
