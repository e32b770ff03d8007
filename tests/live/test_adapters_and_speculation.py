"""Adapters and speculation through the installed command, with real weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import mlx.core as mx
import yaml

from tests.live.client import PATIENCE, ask, chat, eventually
from tests.live.harness import LiveServer

REPEATING = "Repeat: red green blue red green blue red green blue"
TOKENS = 20
RANK, WIDTH = 4, 576


def write_adapter(folder: Path) -> Path:
    """Write a random adapter for the embedded model, strong enough to change an answer."""
    folder.mkdir()
    layer = "model.layers.29.self_attn.q_proj"
    a, b = (
        mx.random.normal(shape, key=mx.random.key(seed)) for seed, shape in ((1, (WIDTH, RANK)), (2, (RANK, WIDTH)))
    )
    mx.save_safetensors(str(folder / "adapters.safetensors"), {f"{layer}.lora_a": a, f"{layer}.lora_b": b})
    lora = {"rank": RANK, "scale": 1.0, "dropout": 0.0, "keys": ["self_attn.q_proj"]}
    config = {"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": lora}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def test_an_adapter_changes_the_answer_and_speculation_does_not(
    server: LiveServer, launch: Callable[..., LiveServer], tmp_path: Path
) -> None:
    embedded = {"model_path": "embedded:smollm2-135m-instruct", "prefix_cache_size": 0}
    foreseen = {**embedded, "served_model_name": "foreseen", "prompt_lookup": 8}
    adapted = {**embedded, "served_model_name": "adapted", "lora_paths": [str(write_adapter(tmp_path / "adapter"))]}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"models": [foreseen, adapted]}))
    other = launch("--config", str(config))

    body = chat(REPEATING, temperature=0, max_tokens=TOKENS)
    plain = _answer(ask(server.url, body))
    assert _answer(ask(other.url, {**body, "model": "foreseen"})) == plain
    assert _answer(ask(other.url, {**body, "model": "adapted"})) != plain
    accepted = 'mlx_speculation_total{gen_ai_request_model="foreseen",mlx_speculation_kind="accepted"}'
    eventually(lambda: accepted in httpx.get(f"{other.url}/metrics", timeout=PATIENCE).text)
    # Concurrent answers, each with its own end.
    with ThreadPoolExecutor() as pool:
        both = [
            pool.submit(ask, other.url, {**body, "model": "foreseen", "max_tokens": n}) for n in (TOKENS, TOKENS // 2)
        ]
    long, short = (_answer(each.result()) for each in both)
    assert long == plain
    assert long[0].startswith(short[0])
    assert short[2] <= TOKENS // 2


def _answer(response: httpx.Response) -> tuple[str, str, int]:
    assert response.status_code == 200, response.text
    answer = response.json()
    (choice,) = answer["choices"]
    return choice["message"]["content"], choice["finish_reason"], answer["usage"]["completion_tokens"]
