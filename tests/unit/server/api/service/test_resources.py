"""Models, health and queue statistics."""

from __future__ import annotations

from typing import Any

import pytest

from providers.capabilities import MODALITIES, ModelType
from providers.protocols import ModelCard, ModelStatus, QueueStats
from tests.unit.server.fakes import FakeChat
from tests.unit.server.harness import ask, make_app

MODEL = {
    "id": "org/fake",
    "object": "model",
    "created": 1_700_000_000,
    "owned_by": "local",
    "context_length": 4096,
    "capabilities": ["chat"],
    "architecture": {"modality": "text->text", "input_modalities": ["text"], "output_modalities": ["text"]},
    "status": "ready",
    "pinned": False,
}


async def get(path: str, *chats: FakeChat) -> Any:
    return await ask(make_app(*chats), "GET", path)


async def test_models_are_listed_as_openai_lists_them() -> None:
    assert (await get("/v1/models")).json == {"object": "list", "data": [MODEL]}


async def test_a_model_that_reads_pictures_is_listed_with_what_it_reads() -> None:
    assert (await get("/v1/models/org/fake", FakeChat(reads=("image",)))).json == {
        **MODEL,
        "input_modalities": ["text", "image"],
        "architecture": {
            "modality": "text+image->text",
            "input_modalities": ["text", "image"],
            "output_modalities": ["text"],
        },
    }


@pytest.mark.parametrize(
    ("model_type", "capabilities", "modality"),
    [
        ("lm", ["chat"], "text->text"),
        ("embeddings", ["embeddings"], "text->embeddings"),
        ("whisper", ["transcription"], "audio->text"),
        ("tts", ["speech"], "text->audio"),
        ("image-generation", ["image", "image_generation"], "text->image"),
        ("image-edit", ["image", "image_edit"], "text+image->image"),
        (
            "echo",
            ["chat", "speech", "image", "image_generation", "image_edit"],
            "text+image->text+audio+image",
        ),
    ],
)
async def test_models_are_listed_with_what_they_take_and_make(
    model_type: ModelType, capabilities: list[str], modality: str
) -> None:
    row = MODALITIES[model_type]
    card = ModelCard(id="m", created=0, capabilities=row.capabilities, status="unloaded", images=row.images)
    listed = (await ask(make_app(carded(card)), "GET", "/v1/models/m")).json
    taken, made = (part.split("+") for part in modality.split("->"))
    assert listed["capabilities"] == capabilities
    assert listed["architecture"] == {
        "modality": modality,
        "input_modalities": taken,
        "output_modalities": made,
    }


def carded(card: ModelCard) -> FakeChat:
    """A model with this card."""

    class Carded(FakeChat):
        @property
        def card(self) -> ModelCard:
            return card

    return Carded(name=card.id)


@pytest.mark.parametrize("path", ["/v1/models/org/fake", "/v1/models/org/fake/"])
async def test_a_model_s_id_may_contain_a_slash(path: str) -> None:
    assert (await get(path)).json == MODEL


async def test_an_unknown_model_is_not_found_even_where_only_one_is_served() -> None:
    answer = await get("/v1/models/org/other")
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("statuses", "summary"),
    [
        (["ready"], "ok"),
        (["ready", "ready"], "ok"),
        (["ready", "loading"], "loading"),
        (["ready", "restarting"], "loading"),
        (["ready", "failed"], "degraded"),
        (["failed", "stopped"], "failed"),
        (["ready", "unavailable"], "degraded"),
        (["unavailable"], "failed"),
    ],
)
async def test_readiness_depends_on_every_model(statuses: list[ModelStatus], summary: str) -> None:
    chats = [FakeChat(name=f"m{number}", status=status) for number, status in enumerate(statuses)]

    for path in ("/health", "/v1/health", "/v1/health/ready"):
        health = await get(path, *chats)

        assert health.status == (200 if summary == "ok" else 503)
        assert health.json["status"] == summary
        assert health.json["models"] == {f"m{number}": status for number, status in enumerate(statuses)}
        assert (health.json["model_id"], health.json["model_status"]) == ("m0", statuses[0])
        assert health.headers.get("retry-after") == (None if summary == "ok" else "1")


@pytest.mark.parametrize(
    ("status", "summary", "code"),
    [
        ("unloaded", "ok", 200),
        ("loading", "ok", 200),
        ("restarting", "ok", 200),
        ("unavailable", "ok", 200),
        ("failed", "degraded", 503),
    ],
)
async def test_readiness_does_not_wait_for_what_is_loaded_on_first_use(
    status: ModelStatus, summary: str, code: int
) -> None:
    chats = [FakeChat(name="chat"), FakeChat(name="voice", status=status, lazy=True)]

    health = await get("/health", *chats)

    assert (health.json["status"], health.json["models"]["voice"]) == (summary, status)
    assert (await get("/v1/health/ready", *chats)).status == code


async def test_a_process_that_loads_models_is_alive() -> None:
    answer = await get("/v1/health/live", FakeChat(status="loading"))
    assert (answer.status, answer.json) == (200, {"status": "ok"})


async def test_a_server_that_drains_is_not_ready() -> None:
    app = make_app()
    async with app.lifespan():
        app.state.drain.begin()
        ready = await ask(app, "GET", "/v1/health/ready")
        health = await ask(app, "GET", "/health")
    assert ready.status == health.status == 503
    assert health.json["status"] == "draining"


async def test_queue_statistics_of_every_model_and_their_sum() -> None:
    one = QueueStats(
        active=1, pending=2, completed=3, failed=0, cancelled=0, rejected=4,
        wait_seconds_mean=1.0, wait_seconds_max=2.0, service_seconds_mean=4.0, service_seconds_max=8.0,
    )  # fmt: skip
    two = QueueStats(active=5, completed=1, wait_seconds_mean=3.0, wait_seconds_max=3.0)

    stats = (
        await get("/v1/queue/stats", FakeChat(name="a", queue_stats=one), FakeChat(name="b", queue_stats=two))
    ).json

    assert stats["models"]["a"] == {
        "active": 1,
        "pending": 2,
        "completed": 3,
        "failed": 0,
        "cancelled": 0,
        "rejected": 4,
        "wait_seconds_mean": 1.0,
        "wait_seconds_max": 2.0,
        "service_seconds_mean": 4.0,
        "service_seconds_max": 8.0,
    }
    assert stats["residency"]["models"]["a"] == {
        "status": "ready",
        "memory": 7,
        "pinned": False,
        "uses": 1,
        "idle": 0.0,
    }
    assert (stats["residency"]["limit"], stats["residency"]["used"]) == (None, 14)
    assert stats["total"] == {
        "active": 6,
        "pending": 2,
        "completed": 4,
        "failed": 0,
        "cancelled": 0,
        "rejected": 4,
        "wait_seconds_mean": 1.5,
        "wait_seconds_max": 3.0,
        "service_seconds_mean": 3.0,
        "service_seconds_max": 8.0,
    }
