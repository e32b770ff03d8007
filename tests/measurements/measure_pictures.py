"""How long a second turn about the same picture waits for its first token.

    python -m tests.measurements.measure_pictures

Starts the real server with the embedded model's weights and a vision tower of the size of SmolVLM-256M's, of random
weights, in two architectures. Each conversation has a picture of its own, of 1,024 by 768 pixels. `encoded` is how
often the tower was run for a turn.
"""

from __future__ import annotations

import base64
import io
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from tests.live.client import ask, stream
from tests.live.harness import LiveServer, start
from tests.live.seeing_models import write_seeing_model

ARCHITECTURES = ("smolvlm", "qwen2_vl")
CONVERSATIONS = 5


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entries = [
            {"name": each, "path": str(write_seeing_model(folder / each, each, full=True)), "type": "multimodal"}
            for each in ARCHITECTURES
        ]
        (folder / "models.yaml").write_text(yaml.safe_dump({"models": entries}), encoding="utf-8")
        server = start("--config", str(folder / "models.yaml"))
        try:
            print("| architecture | prompt tokens | first turn, s | encoded | second turn, s | encoded | ratio |")
            print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
            for model in ARCHITECTURES:
                turns = [_two_turns(server, model, seed) for seed in range(1, CONVERSATIONS + 1)]
                first, second = (statistics.median(turn[number][0] for turn in turns) for number in (0, 1))
                runs = [" or ".join(map(str, sorted({turn[number][2] for turn in turns}))) for number in (0, 1)]
                row = (
                    model,
                    turns[0][0][1],
                    f"{first:.2f}",
                    runs[0],
                    f"{second:.2f}",
                    runs[1],
                    f"{second / first:.2f}",
                )
                print("|", " | ".join(map(str, row)), "|", flush=True)
        finally:
            server.stop()


def _two_turns(server: LiveServer, model: str, seed: int) -> list[tuple[float, int, int]]:
    """Of each turn: seconds to the first token, tokens of the prompt, runs of the tower."""
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [_picture(seed), {"type": "text", "text": "What is in this picture?"}]}
    ]
    turns = []
    for _ in range(2):
        seconds, text, tokens, id = _turn(server, model, messages)
        turns.append((seconds, tokens, _encoded(server, id)))
        messages += [
            {"role": "assistant", "content": text},
            {"role": "user", "content": "What is the capital of France?"},
        ]
    return turns


def _turn(server: LiveServer, model: str, messages: list[dict[str, Any]]) -> tuple[float, str, int, str]:
    body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 8}
    begun, first, tokens = time.perf_counter(), 0.0, 0
    with stream(server.url, {**body, "stream_options": {"include_usage": True}}) as answer:
        for chunk in answer:
            if answer.text and not first:
                first = time.perf_counter() - begun
            tokens = chunk["usage"]["prompt_tokens"] if chunk.get("usage") else tokens
        return first, answer.text, tokens, answer.response.headers["x-request-id"]


def _encoded(server: LiveServer, request_id: str) -> int:
    requests = ask(server.url, method="GET", path="/traces/data").json()["requests"]
    request = next(each for each in requests if each["request_id"] == request_id)
    spans = [span for span in request["spans"] if "mlx.pictures.encoded" in span["attributes"]]
    return int(spans[0]["attributes"]["mlx.pictures.encoded"]) if spans else 0


def _picture(seed: int) -> dict[str, Any]:
    pixels = np.random.default_rng(seed).integers(0, 256, (768, 1024, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


if __name__ == "__main__":
    main()
