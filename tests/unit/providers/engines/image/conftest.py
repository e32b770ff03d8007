"""A small image model, loaded once, and what drives its engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

pytest.importorskip("mflux", reason="the extra `images` is not installed")

from providers.engine_host.frames import Events, Failed, Generate
from providers.engines.image.engine import ImageEngine
from providers.engines.process import platform
from providers.engines.process.engine import Outbox
from providers.image.types import ImageRequest
from providers.spec import ModelSpec
from tests.tiny_klein import build


@attrs.define
class Driver:
    """An engine without its process."""

    engine: ImageEngine
    events: dict[str, list[Any]] = attrs.field(factory=dict)
    failures: dict[str, Failed] = attrs.field(factory=dict)

    def submit(self, request: ImageRequest) -> None:
        self.engine.submit(self.engine.prepare(Generate(request)))

    def step(self) -> None:
        out = Outbox(self._sent)
        self.engine.step(out)
        out.flush()

    def drain(self) -> None:
        while self.engine.busy:
            self.step()

    def answer(self, **fields: Any) -> list[Any]:
        """All events of one request."""
        request = ImageRequest(**{"id": "r", "prompt": "a red cube", "width": 64, "height": 64, "seed": 1, **fields})
        self.events.pop(request.id, None)
        self.submit(request)
        self.drain()
        assert request.id not in self.failures, self.failures
        return self.events[request.id]

    def _sent(self, report: Any) -> None:
        if isinstance(report, Events):
            for id, event in report.items:
                self.events.setdefault(id, []).append(event)
        elif isinstance(report, Failed):
            self.failures[report.id] = report


@pytest.fixture(scope="session", autouse=True)
def encoded_prompts() -> Iterator[None]:
    """Encode each prompt once: it takes most of the time of a small image."""
    from mflux.models.flux2.model.flux2_text_encoder.prompt_encoder import Flux2PromptEncoder

    own, known = Flux2PromptEncoder.encode_prompt, {}

    def encode(prompt: str, *, text_encoder: Any, **rest: Any) -> Any:
        key = (prompt, type(text_encoder.layers[0].mlp.gate_proj))  # quantised or not
        if key not in known:
            known[key] = own(prompt=prompt, text_encoder=text_encoder, **rest), text_encoder
        return known[key][0]

    Flux2PromptEncoder.encode_prompt = staticmethod(encode)
    yield
    Flux2PromptEncoder.encode_prompt = staticmethod(own)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("models") / "tiny-klein")


@pytest.fixture(scope="session")
def load(folder: Path) -> Callable[..., Driver]:
    """Load the folder as an engine. Fields are of the spec."""

    def loaded(**fields: Any) -> Driver:
        spec = {"config_name": "flux2-klein", "model_type": "image-generation", "path": str(folder), "warmup": False}
        engine = ImageEngine(platform.prepare())
        engine.load(ModelSpec(name="tiny", **{**spec, **fields}), lambda stage, fraction: None)
        return Driver(engine)

    return loaded


@pytest.fixture(scope="session")
def generator(load: Callable[..., Driver]) -> Driver:
    return load()


@pytest.fixture(scope="session")
def editor(load: Callable[..., Driver]) -> Driver:
    return load(model_type="image-edit")


@pytest.fixture(scope="session")
def plain(generator: Driver) -> bytes:
    """The pixels of the driver's own request with one step."""
    return generator.answer(steps=1)[-1].pixels
