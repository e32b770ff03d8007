"""Chats about pictures through the official SDK, with the embedded model's weights in two architectures."""

from __future__ import annotations

import base64
import io
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import openai
import pytest
import yaml
from openai.types.chat import ChatCompletion
from PIL import Image

from tests.live.harness import LiveServer, start
from tests.live.seeing_models import write_seeing_model

models = pytest.mark.parametrize("model", ["smolvlm", "qwen2_vl"])
CAPITAL = "What is the capital of France?"


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Generator[LiveServer]:
    """Both architectures in one server."""
    folder = tmp_path_factory.mktemp("seeing")
    entries = [
        {"name": name, "path": str(write_seeing_model(folder / name, name)), "type": "multimodal", "mlx_warmup": False}
        for name in ("smolvlm", "qwen2_vl")
    ]
    (folder / "models.yaml").write_text(yaml.safe_dump({"models": entries}))
    running = start("--config", str(folder / "models.yaml"))
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.text


@pytest.fixture(scope="module")
def client(seeing: LiveServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{seeing.url}/v1", api_key="none", max_retries=0)


def drawn(seed: int) -> dict[str, Any]:
    """Coloured noise, as a part of a message."""
    pixels = np.random.default_rng(seed).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def about(*seeds: int) -> list[dict[str, Any]]:
    text = {"type": "text", "text": "What is in this picture?"}
    return [{"role": "user", "content": [*map(drawn, seeds), text]}]


def ask(client: openai.OpenAI, model: str, messages: Any, **options: Any) -> ChatCompletion:
    options = {"temperature": 0, "max_tokens": 6, **options}
    answer: ChatCompletion = client.chat.completions.create(model=model, messages=messages, **options)
    return answer


def probability(answer: ChatCompletion) -> float:
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    return logprobs.content[0].logprob


def cached(answer: ChatCompletion) -> int:
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    return answer.usage.prompt_tokens_details.cached_tokens or 0


@models
def test_pictures_change_an_answer_and_are_read_once(client: openai.OpenAI, model: str) -> None:
    with ThreadPoolExecutor() as pool:
        text = pool.submit(ask, client, model, [{"role": "user", "content": CAPITAL}], max_tokens=8)
        pictures = [pool.submit(ask, client, model, about(seed), logprobs=True) for seed in (1, 2)]
        assert "Paris" in (text.result().choices[0].message.content or "")
        first, other = (each.result() for each in pictures)
    again = ask(client, model, about(1), logprobs=True)

    assert first.usage is not None
    assert text.result().usage is not None
    assert first.choices[0].message.content
    assert abs(probability(first) - probability(other)) > 1e-4
    assert again.choices[0].message.content == first.choices[0].message.content
    assert probability(again) == pytest.approx(probability(first), abs=1e-3)
    assert cached(again) == first.usage.prompt_tokens - 1


@models
def test_a_conversation_about_a_picture_goes_on_where_it_stopped(client: openai.OpenAI, model: str) -> None:
    asked = about(3)
    pieces = client.chat.completions.create(
        model=model,
        messages=asked,  # type: ignore[arg-type]
        temperature=0,
        max_tokens=4,
        stream=True,
        stream_options={"include_usage": True},
    )
    said, prompt_tokens = "", 0
    for piece in pieces:
        said += "".join(choice.delta.content or "" for choice in piece.choices)
        prompt_tokens = piece.usage.prompt_tokens if piece.usage else prompt_tokens

    more = [*asked, {"role": "assistant", "content": said}, {"role": "user", "content": CAPITAL}]
    second = ask(client, model, more, n=2)

    assert said
    assert cached(second) >= prompt_tokens - 1
    assert len({choice.message.content for choice in second.choices}) == 1
