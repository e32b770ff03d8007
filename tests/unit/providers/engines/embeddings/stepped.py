"""An embedding engine without its process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from providers.embeddings.types import Embedded, EmbeddingRequest, Ranked, RerankRequest, Vectors
from providers.engine_host.frames import Events, Failed, Generate, Report
from providers.engines.embeddings.engine import EmbeddingEngine
from providers.engines.process.engine import Outbox
from providers.engines.process.platform import Platform
from providers.spec import ModelSpec

Floats = np.ndarray[Any, np.dtype[np.float32]]
TEXTS = ["cat", "red fish slow", "dog " * 30, "one two three tree house river stone", "bird bird", "blue"]


class Stepped:
    """An engine without its process, stepped by the test."""

    def __init__(self, folder: Path, **spec: Any) -> None:
        self.engine = EmbeddingEngine(Platform(device="cpu", blas="-", threads=1))
        self.info = self.engine.load(
            ModelSpec(name="tiny", path=str(folder), model_type="embeddings", **spec), lambda stage, fraction: None
        )
        self.events: dict[str, list[Any]] = {}
        self.failed: dict[str, Failed] = {}
        self.out = Outbox(self._file)

    def _file(self, report: Report) -> None:
        if isinstance(report, Failed):
            self.failed[report.id] = report
        elif isinstance(report, Events):
            for id, event in report.items:
                self.events.setdefault(id, []).append(event)

    def submit(self, request: EmbeddingRequest | RerankRequest) -> None:
        self.engine.submit(self.engine.prepare(Generate(request)))

    def step(self) -> None:
        try:
            self.engine.step(self.out)
        except BaseException as error:
            self.engine.recover(self.out, error)
        self.out.flush()

    def run(self) -> None:
        while self.engine.busy:
            self.step()

    def vectors(self, id: str) -> Floats:
        *parts, end = self.events[id]
        assert isinstance(end, Embedded)
        made = np.full((sum(len(part.indexes) for part in parts), end.dimensions), np.nan, np.float32)
        for part in parts:
            assert isinstance(part, Vectors)
            made[part.indexes] = np.frombuffer(part.data, "<f4").reshape(len(part.indexes), -1)
        return made

    def embed(self, inputs: list[Any], **request: Any) -> Floats:
        self.submit(EmbeddingRequest("one", inputs, **request))
        self.run()
        made = self.vectors("one")
        self.events.clear()
        return made

    def rank(self, query: str, documents: list[str], **request: Any) -> tuple[Floats, Ranked]:
        self.submit(RerankRequest("rank", query, documents, **request))
        self.run()
        (end,) = self.events.pop("rank")
        return np.frombuffer(end.scores, "<f4"), end
