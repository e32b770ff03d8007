"""Images of a small random model through the official SDK: the real server, and an engine process per model."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Generator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import yaml
from PIL import Image

from tests.live.client import PATIENCE
from tests.live.harness import LiveServer, start
from tests.tiny_klein import build

pytest.importorskip("mflux", reason="the extra `images` is not installed")

SMALL: dict[str, Any] = {"prompt": "a red cube", "size": "64x64"}


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Generator[LiveServer]:
    """One folder, served as a generator and as an editor, which is loaded when it is needed."""
    folder = tmp_path_factory.mktemp("images")
    model = {"path": str(build(folder / "flux2-klein-4b-tiny")), "mlx_warmup": False}
    entries = [
        {**model, "name": "generator", "type": "image-generation", "queue_size": 2},
        {**model, "name": "editor", "type": "image-edit", "on_demand": True},
    ]
    (folder / "models.yaml").write_text(yaml.safe_dump({"models": entries}))
    running = start("--config", str(folder / "models.yaml"))
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.text


@pytest.fixture(scope="module")
def client(painter: LiveServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=painter.base_url, api_key="none", max_retries=0)


def pixels(encoded: str | None) -> np.ndarray:
    assert encoded is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))), np.float32)


def test_a_seed_gives_the_same_image_and_another_seed_another_one(client: openai.OpenAI) -> None:
    def generate(seed: int, n: int = 1) -> list[np.ndarray]:
        answer = client.images.generate(model="generator", n=n, extra_body={"seed": seed, "steps": 2}, **SMALL)
        return [pixels(image.b64_json) for image in answer.data or ()]

    first, second = generate(7, n=2)
    [again] = generate(8)

    assert first.shape == (64, 64, 3)
    assert not np.array_equal(first, second)
    assert np.array_equal(second, again)


def test_previews_of_a_stream_approach_the_image(client: openai.OpenAI) -> None:
    stream = client.images.generate(
        model="generator", stream=True, partial_images=3, extra_body={"seed": 1, "steps": 4}, **SMALL
    )

    *previews, last = [(event.type, pixels(event.b64_json)) for event in stream]

    assert [kind for kind, _ in previews] == ["image_generation.partial_image"] * 3
    assert last[0] == "image_generation.completed"
    distances = [float(np.abs(image - last[1]).mean()) for _, image in previews]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] > 0


def test_an_edit_depends_on_its_image(client: openai.OpenAI) -> None:
    def edit(seed: int) -> np.ndarray:
        file = io.BytesIO()
        drawn = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(drawn).save(file, "PNG")
        answer = client.images.edit(
            model="editor", image=("a.png", file.getvalue()), extra_body={"seed": 1, "steps": 1}, **SMALL
        )
        return pixels((answer.data or [])[0].b64_json)

    one, other = edit(1), edit(2)

    assert one.shape == other.shape == (64, 64, 3)
    assert not np.array_equal(one, other)


def test_a_client_that_leaves_frees_the_place_between_two_steps(painter: LiveServer, client: openai.OpenAI) -> None:
    body = {"model": "generator", "stream": True, "steps": 200, **SMALL}
    with httpx.stream("POST", f"{painter.base_url}/images/generations", json=body, timeout=60) as response:
        comment = next(line for line in response.iter_lines() if "step" in line)
    assert comment == ": image 1/1 step 1/200"

    done = client.images.generate(model="generator", extra_body={"seed": 1, "steps": 1}, **SMALL)

    assert done.data
    queue = httpx.get(f"{painter.base_url}/queue/stats", timeout=PATIENCE).json()["models"]["generator"]
    assert queue["cancelled"] == 1
    assert queue["active"] == 0


def test_requests_for_one_model_wait_in_its_queue_and_those_beyond_are_refused(client: openai.OpenAI) -> None:
    codes: list[int] = []

    def ask() -> None:
        try:
            client.images.generate(model="generator", extra_body={"steps": 10}, **SMALL)
            codes.append(200)
        except openai.APIStatusError as error:
            codes.append(error.status_code)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(codes) == [200, 200, 200, 429, 429]


def test_what_the_model_cannot_do_is_a_400_with_the_field(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.generate(model="generator", extra_body={"negative_prompt": "blue"}, **SMALL)

    assert refused.value.param == "negative_prompt"
