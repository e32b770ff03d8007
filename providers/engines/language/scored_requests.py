"""Requests whose prompts get log-probabilities before an answer begins. Only for the MLX thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx

from providers.chat.types import TokenLogprob
from providers.engines.language.intake import Intake
from providers.engines.language.job import LanguageJob
from providers.engines.language.scoring import PromptScoring
from providers.engines.language.sequences import Request
from providers.engines.process.engine import Outbox

__all__ = ["ScoredRequests"]

Begin = Callable[[Request, list[Any] | None, Outbox, list[TokenLogprob]], None]


class ScoredRequests:
    """Those of an engine's requests whose prompts are being scored, the oldest first."""

    def __init__(self, requests: dict[str, Request], model: Any, intake: Intake, begin: Begin, vocabulary: int) -> None:
        """Serve an engine.

        Args:
            requests: all requests of the engine by id; a request stays there when its prompt is scored and it wants
                tokens.
            begin: starts the first output of a request, with the cache of all of its prompt but the last token (None
                for a prompt of one token) and the prompt's log-probabilities.
            vocabulary: count of logits per token.
        """
        self._requests = requests
        self._model = model
        self._intake = intake
        self._begin = begin
        self._vocabulary = vocabulary

    @property
    def requests(self) -> list[Request]:
        return [request for request in self._requests.values() if request.scoring is not None]

    def start(self, job: LanguageJob, top: int) -> None:
        """Take a job as a request. `top`: how many of the likeliest tokens to report in the place of each token."""
        request = Request(job=job, cached_tokens=0, waiting=[])
        shown, piece = self._intake.shown(job.tokens), self._intake.text.piece
        request.scoring = PromptScoring(self._model, job.tokens, shown, piece, top=top, vocabulary=self._vocabulary)
        self._requests[job.id] = request

    def step(self, request: Request, stream: mx.Stream, out: Outbox) -> None:
        """Compute a chunk of a prompt on this stream. After the last chunk begin the answer, if tokens are wanted."""
        scoring = request.scoring
        assert scoring is not None
        with mx.stream(stream):
            if not scoring.step():
                return
        request.scoring = None
        if request.job.max_tokens:
            request.waiting = list(range(1, request.job.n))
            cache = scoring.cache if len(request.job.tokens) > 1 else None
            self._begin(request, cache, out, scoring.logprobs)
            return
        out.event(request.job.id, request.job.accepted(0, scoring.logprobs))
        del self._requests[request.job.id]
        out.events(request.job.id, request.unanswered())
