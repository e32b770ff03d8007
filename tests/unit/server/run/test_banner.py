"""The banner that is printed when the server is ready."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

import pytest

from providers.capabilities import CapabilityName
from providers.protocols import ModelCard, ModelStatus
from server.run.banner import banner, curl_line
from server.settings.settings import Settings

URL = "http://127.0.0.1:8000"


def card(
    name: str,
    status: ModelStatus = "ready",
    detail: str | None = None,
    capabilities: Sequence[CapabilityName] = ("chat",),
) -> ModelCard:
    return ModelCard(
        id=name, created=0, capabilities=(*capabilities,), status=status, context_length=8192, detail=detail
    )


def test_the_banner_shows_the_address_the_models_and_how_to_stop() -> None:
    text = banner([card("qwen")], Settings.load({"model_type": "echo"}, {}), URL)

    assert f"ready at {URL}" in text
    assert "qwen  (chat, context 8192)" in text
    assert "Ctrl-C" in text


def test_a_failed_model_is_shown_with_its_reason_and_the_example_uses_another() -> None:
    cards = [card("broken", "failed", "no weights"), card("good")]

    text = banner(cards, Settings.load({"model_type": "echo"}, {}), URL)

    assert "broken  failed: no weights" in text
    assert '"model": "good"' in text


def test_a_model_that_is_loaded_on_first_use_is_marked() -> None:
    text = banner([card("chat"), card("voice", "unloaded")], Settings.load({"model_type": "echo"}, {}), URL)

    assert "voice  (chat, context 8192; loaded on first use)" in text


def test_a_model_whose_extra_is_missing_is_shown_with_the_command_that_adds_it() -> None:
    unavailable = card("voice", "unavailable", "the extra `speech` is not installed: pip install 'x[speech]'")

    text = banner([card("chat"), unavailable], Settings.load({"model_type": "echo"}, {}), URL)

    assert "voice  unavailable: the extra `speech` is not installed: pip install 'x[speech]'" in text


def test_the_arena_is_announced_where_a_model_chats_and_one_speaks() -> None:
    settings = Settings.load({"model_type": "echo"}, {})
    voice = card("voice", capabilities=("speech",))

    text = banner([card("qwen"), voice], settings, URL)
    assert text.index(f"ready at {URL}") < text.index(f"{URL}/arena") < text.index("qwen"), "it is what to try first"
    assert "/arena" not in banner([card("qwen")], settings, URL)
    assert "/arena" not in banner([card("qwen"), card("voice", "failed", capabilities=("speech",))], settings, URL)


@pytest.mark.parametrize("name", ["plain", "it's", 'say "hi"', "$HOME `id`", "org/名前"])
def test_the_curl_line_survives_a_shell(name: str) -> None:
    words = shlex.split(curl_line(URL, name, with_key=False))

    assert words[:2] == ["curl", f"{URL}/v1/chat/completions"]
    assert json.loads(words[words.index("-d") + 1])["model"] == name


def test_the_key_is_never_printed() -> None:
    text = banner([card("qwen")], Settings.load({"model_type": "echo", "api_key": "s3cret"}, {}), URL)

    assert "s3cret" not in text
    assert "Bearer $API_KEY" in text
