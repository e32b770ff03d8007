"""A folder like `mlx-community/Kokoro-82M-bf16` on the hub: other file names, bfloat16, extra files."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import mlx.core as mx
import pytest

from providers.engine_host.frames import EngineInfo
from providers.speech.languages import LANGUAGES
from providers.weights import pull
from tests.live.engines.speaker import Speaker

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The embedded weights, saved in the layout of mlx-audio's converter."""
    embedded = pull("kokoro-82m")
    weights = mx.load(str(embedded / "model.safetensors"))
    assert isinstance(weights, dict)
    halved = {name: weight.astype(mx.bfloat16) for name, weight in weights.items()}
    mx.save_safetensors(str(tmp_path / "kokoro-v1_0.safetensors"), halved, metadata={"format": "mlx"})
    (tmp_path / "voices").mkdir()
    for voice in ("af_heart", "bm_george", "jf_alpha"):
        style = mx.load(str(embedded / "voices" / f"{voice}.safetensors"))
        assert isinstance(style, dict)
        mx.save_safetensors(str(tmp_path / "voices" / f"{voice}.safetensors"), style)
        (tmp_path / "voices" / f"{voice}.pt").write_bytes(b"PyTorch's, which the server does not read")
    config = json.loads((embedded / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "kokoro"}), encoding="utf-8")
    (tmp_path / "README.md").write_text("# Kokoro")
    return tmp_path


@pytest.fixture
def speaker() -> Generator[Speaker]:
    client = Speaker()
    client.socket.settimeout(600)
    yield client
    assert "Traceback" not in client.close()


def test_speech_is_synthesized(speaker: Speaker, folder: Path) -> None:
    info = speaker.load(str(folder), model_type="tts")

    assert isinstance(info, EngineInfo), info
    assert [(voice["id"], voice["spoken"]) for voice in info.details["voices"]] == [
        ("af_heart", True),
        ("bm_george", True),
        ("jf_alpha", not LANGUAGES["ja-JP"].missing),
    ]
    speech = speaker.spoken("hub", "Good morning.")
    assert [word.word for word in speech.words] == ["Good", "morning"]
    assert 0.6 < len(speech.audio) / 2 / 24_000 < 2
