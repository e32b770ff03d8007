"""A language-model engine without its process: stepped by the test, on the test's own thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from providers.chat.types import GenerationRequest, TextPrompt
from providers.engine_host.frames import EngineInfo, Events, Failed, Generate, Report
from providers.engines.group.ranks import ALONE, Ranks
from providers.engines.language.engine import LanguageEngine
from providers.engines.process.engine import Outbox
from providers.engines.process.platform import Platform
from providers.spec import ModelSpec
from tests.unit.providers.engines.client import GREEDY, Answer


class SteppedEngine:
    """Loads immediately; `run` steps until every request has ended."""

    def __init__(
        self, folder: Path, kind: type[LanguageEngine] = LanguageEngine, *, ranks: Ranks = ALONE, **spec: Any
    ) -> None:
        """`ranks`: those that share the model, of which this process is rank 0."""
        spec.setdefault("grammar_timeout", 0.0)  # No other process.
        self.ranks = ranks
        self.engine = kind(Platform(device="cpu", blas="-", threads=1, ranks=ranks))
        self.info: EngineInfo = self.engine.load(
            ModelSpec(name="tiny", path=str(folder), **spec), lambda stage, fraction: None
        )
        self.out = Outbox(self.file)
        self.answers: dict[str, Answer] = {}

    def submit(self, id: str, prompt: Any, **request: Any) -> Answer:
        request.setdefault("sampling", GREEDY)
        made = TextPrompt(prompt) if isinstance(prompt, str) else prompt
        self.answers[id] = Answer(request.get("n", 1))
        job = self.engine.prepare(Generate(request=GenerationRequest(id=id, prompt=made, **request)))
        self.ranks.submit(job)
        self.engine.submit(job)
        return self.answers[id]

    def step(self) -> None:
        """One step, as the runtime does it."""
        self.ranks.step()
        try:
            self.engine.step(self.out)
        except Exception as error:
            self.engine.recover(self.out, error)
        self.out.flush()

    def run(self) -> None:
        while self.engine.busy:
            self.step()

    def ask(self, id: str, prompt: Any, **request: Any) -> Answer:
        answer = self.submit(id, prompt, **request)
        self.run()
        return answer

    def file(self, report: Report) -> None:
        """Add a report to its answers."""
        if isinstance(report, Failed):
            self.answers[report.id].failed = report
        elif isinstance(report, Events):
            for id, event in report.items:
                self.answers[id].take(event)
