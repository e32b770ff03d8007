"""Several models in one server: routing, one load for all, unloading in order, and a common limit of memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from providers.memory.estimate import estimate
from providers.spec import ModelSpec
from tests.live.client import PATIENCE, ask, assert_error, chat, eventually, stream
from tests.live.harness import LiveServer, start
from tests.unit.providers.engines import tiny

SMOLLM = "embedded:smollm2-135m-instruct"
SIXTEEN = {name: {"max_tokens": 16} for name in ("smol", "gpt-4o")}
LOAD_SECONDS = 120.0
"""For a load on a busy machine."""


def serve(folder: Path, **options: Any) -> Generator[LiveServer]:
    file = folder / "models.yaml"
    file.write_text(yaml.safe_dump(options), encoding="utf-8")
    running = start("--config", str(file))
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.text


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Generator[LiveServer]:
    """A chat model, another one that answers in four tokens, and one that speaks; the last two load on first use."""
    models = [
        {"name": "smol", "path": SMOLLM, "aliases": ["gpt-4o"]},
        {"name": "org/twin", "path": SMOLLM, "preload": False, "max_tokens": 4},
        {"name": "voice", "path": "embedded:kokoro-82m", "type": "tts", "preload": False},
    ]
    yield from serve(tmp_path_factory.mktemp("several"), models=models)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Generator[LiveServer]:
    """Two chat models that load on first use, and memory for one of them; a third one may take 1 MB."""
    folder = tiny.write_folder(tmp_path_factory.mktemp("models") / "tiny")
    need = estimate(ModelSpec(name="a", path=str(folder)))
    assert need
    models: list[dict[str, Any]] = [{"name": name, "path": str(folder), "preload": False} for name in "ab"]
    long = tiny.write_folder(tmp_path_factory.mktemp("models") / "long", max_position_embeddings=8192)
    models.append({"name": "tight", "path": str(long), "preload": False, "max_memory": "1MB"})
    yield from serve(tmp_path_factory.mktemp("narrow"), memory_limit=f"{need * 5 // 4}B", models=models)


def say(server: LiveServer, model: str, **parameters: Any) -> httpx.Response:
    answer: httpx.Response = ask(server.url, chat("Hello.", model=model, **parameters), timeout=LOAD_SECONDS)
    return answer


def act(server: LiveServer, model: str, action: str, **options: Any) -> httpx.Response:
    answer: httpx.Response = ask(server.url, path=f"/v1/models/{model}/{action}", timeout=LOAD_SECONDS, **options)
    return answer


def status(server: LiveServer, model: str) -> str:
    card: str = ask(server.url, method="GET", path=f"/v1/models/{model}").json()["status"]
    return card


def starts(server: LiveServer, model: str) -> int:
    """Engines that were started for a model, by the log."""
    return sum("engine starts" in line and f"model={model} " in line for line in server.log.text.splitlines())


def together(*calls: Callable[[], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [each.result() for each in [pool.submit(call) for call in calls]]


def test_a_hundred_first_requests_load_the_model_once(several: LiveServer) -> None:
    assert status(several, "org/twin") == "unloaded"
    answers = together(*[partial(say, several, "org/twin", max_tokens=1)] * 100)
    assert {answer.status_code for answer in answers} == {200}
    assert starts(several, "org/twin") == 1
    page = httpx.get(f"{several.url}/metrics", timeout=PATIENCE).text
    assert 'mlx_model_loads_total{gen_ai_request_model="org/twin"} 1.0' in page


def test_every_model_answers_its_own_requests_under_load(several: LiveServer) -> None:
    def speak() -> httpx.Response:
        body = {"model": "voice", "input": "Yes.", "response_format": "wav"}
        answer: httpx.Response = ask(several.url, body, path="/v1/audio/speech", timeout=LOAD_SECONDS)
        return answer

    named = ["smol", "org/twin", "gpt-4o"] * 4
    *chats, sound, again = together(
        *(partial(say, several, name, temperature=0, **SIXTEEN.get(name, {})) for name in named),
        speak,
        speak,
    )

    for name, answer in zip(named, chats, strict=True):
        answered = answer.raise_for_status().json()
        assert answered["model"] == ("org/twin" if name == "org/twin" else "smol")
        assert (answered["usage"]["completion_tokens"] <= 4) == (name == "org/twin")
    assert [each.content[:4] for each in (sound, again)] == [b"RIFF"] * 2
    assert starts(several, "voice") == 1
    unknown = say(several, "gpt-5")
    assert "smol, org/twin" in assert_error(unknown, 404, "model_not_found", param="model")


def test_unloading_waits_for_the_stream_and_the_next_request_loads_again(several: LiveServer) -> None:
    before = starts(several, "org/twin")
    long = chat("Count.", model="org/twin", temperature=0, max_tokens=60, logit_bias={"2": -100})
    with ThreadPoolExecutor(2) as pool, stream(several.url, long, timeout=LOAD_SECONDS) as answer:
        chunks = iter(answer)
        next(chunks)
        unloading = pool.submit(act, several, "org/twin", "unload")
        eventually(lambda: residency(several, "org/twin")["uses"] == 1)
        late = pool.submit(say, several, "org/twin")
        assert (unloading.done(), late.done(), status(several, "org/twin")) == (False, False, "ready")
        rest = list(chunks)
        assert rest[-1]["choices"][0]["finish_reason"] == "length", "the stream was not cut off"
        assert unloading.result().status_code == 200
        assert late.result().status_code == 200
    assert starts(several, "org/twin") == before + 1
    assert act(several, "org/twin", "unload").json()["status"] == "unloaded"
    assert len([each for each in several.descendants() if "providers.engines" in each.cmdline()]) == 2


def residency(server: LiveServer, model: str) -> dict[str, Any]:
    stats = ask(server.url, method="GET", path="/v1/queue/stats").json()
    found: dict[str, Any] = stats["residency"]["models"][model]
    return found


def test_models_that_do_not_fit_together_take_turns(narrow: LiveServer) -> None:
    for name, other in ["ab", "ba"]:
        assert say(narrow, name, max_tokens=2).raise_for_status().json()["model"] == name
        assert (status(narrow, name), status(narrow, other)) == ("ready", "unloaded")
        assert residency(narrow, name)["memory"] > 0
    answers = together(*(partial(say, narrow, name, max_tokens=2) for name in "ab" * 2))
    assert {answer.status_code for answer in answers} == {200}


def test_a_pinned_model_stays_and_the_other_one_is_refused(narrow: LiveServer) -> None:
    assert act(narrow, "a", "load").json()["status"] == "ready"
    assert act(narrow, "a", "pin").json()["pinned"]
    count = starts(narrow, "b")

    for refused in (say(narrow, "b"), act(narrow, "b", "load")):
        message = assert_error(refused, 507, "model_does_not_fit", type="server_error", param="model")
        assert re.search(r"of which pinned models have .* GB \(a\)", message)
    assert (status(narrow, "a"), starts(narrow, "b")) == ("ready", count)

    assert act(narrow, "a", "pin", method="DELETE").json()["pinned"] is False
    assert say(narrow, "b", max_tokens=2).status_code == 200
    assert status(narrow, "a") == "unloaded"


def test_a_prompt_that_never_fits_is_refused_and_the_model_goes_on(narrow: LiveServer) -> None:
    body = {"model": "tight", "prompt": [5] * 4000, "max_tokens": 1}
    assert_error(
        ask(narrow.url, body, path="/v1/completions", timeout=LOAD_SECONDS),
        507,
        "prompt_does_not_fit",
        type="server_error",
    )
    say(narrow, "tight", max_tokens=1).raise_for_status()
