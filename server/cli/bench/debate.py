"""The main scenario of this project: two debaters over one growing transcript, on any OpenAI-compatible server.

Each debater has its own system prompt and the same brief; the other's statements are its user messages. The two
conversations interleave, so a server that caches only one conversation loses each of them between turns.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from server.cli.bench.client import Sample, Workload, stream_chat
from server.cli.bench.load import http_client

__all__ = ["DebateResult", "DebateTurn", "run_debate", "same_answers"]

_DEBATERS = (
    "You are Ada. You argue in a televised debate that remote work is good for cities. Be brief and concrete.",
    "You are Ben. You argue in a televised debate that remote work is bad for cities. Be brief and concrete.",
)
_OPENING = "This is the brief that both debaters were given.\n\n{brief}\n\nAda, you have the floor. Make your case."
_REPLY = "This is the brief that both debaters were given.\n\n{brief}\n\nYour opponent says: {statement}"


@attrs.frozen(kw_only=True)
class DebateTurn:
    """One statement. Token counts come from `usage`; 0 if the server sends none."""

    debater: int
    """0 for the first speaker, 1 for the second."""
    number: int
    """Number of the turn for this debater, from 1."""
    prompt_tokens: int
    cached_tokens: int
    first_token_seconds: float
    text: str
    error: str | None = None


@attrs.frozen(kw_only=True)
class DebateResult:
    """All statements in order."""

    turns: tuple[DebateTurn, ...]

    @property
    def ratios(self) -> list[float]:
        """Time to the first token of every later turn, divided by that of the same debater's first turn."""
        first = {turn.debater: turn.first_token_seconds for turn in reversed(self.turns)}
        return [turn.first_token_seconds / first[turn.debater] for turn in self.turns if turn.number > 1]

    @property
    def worst_ratio(self) -> float:
        """Largest of `ratios`; NaN if no debater had a second turn."""
        return max(self.ratios, default=float("nan"))

    @property
    def first_error(self) -> str | None:
        return next((turn.error for turn in self.turns if turn.error), None)


def same_answers(one: DebateResult, other: DebateResult) -> float:
    """Share of turns with equal text in both results. Meaningful only if one debate used the other as `script`."""
    pairs = list(zip(one.turns, other.turns, strict=True))
    return sum(a.text == b.text for a, b in pairs) / len(pairs)


async def run_debate(
    url: str,
    *,
    model: str = "default",
    turns: int = 6,
    max_tokens: int = 48,
    brief_sentences: int = 72,
    seed: int = 0,
    parameters: Mapping[str, Any] | None = None,
    script: DebateResult | None = None,
    api_key: str | None = None,
    on_turn: Callable[[DebateTurn], None] = lambda turn: None,
) -> DebateResult:
    """Run a debate on the server at `url` (ending in `/v1`), `turns` statements per debater.

    `brief_sentences`: 72 are about 2,000 tokens. Briefs of different `seed`s share no text. `parameters`: more fields
    of the request body. With `script`, the transcript contains the statements of that debate instead of the new ones,
    so that two servers get the same prompts. A failed turn ends the debate and is the last turn of the result.
    """
    brief = make_brief(seed, brief_sentences)
    made: list[DebateTurn] = []
    transcript: list[str] = []
    async with http_client(url, api_key=api_key, connections=2) as client:
        for index in range(2 * turns):
            body = Workload(model=model, prompts=("",), max_tokens=max_tokens, parameters=parameters or {}).body(0)
            body["messages"] = messages_of(index % 2, brief, transcript)
            sample = await stream_chat(client, url, body, time.perf_counter())
            made.append(_turn(index, sample))
            on_turn(made[-1])
            if sample.error is not None:
                break
            transcript.append(sample.text if script is None else script.turns[index].text)
    return DebateResult(turns=tuple(made))


def messages_of(debater: int, brief: str, transcript: Sequence[str]) -> list[dict[str, str]]:
    """The messages of `debater`'s next request after `transcript`."""
    messages = [{"role": "system", "content": _DEBATERS[debater]}]
    if debater == 0:
        messages.append({"role": "user", "content": _OPENING.format(brief=brief)})
        heard = transcript
    else:
        messages.append({"role": "user", "content": _REPLY.format(brief=brief, statement=transcript[0])})
        heard = transcript[1:]
    for index, statement in enumerate(heard):
        messages.append({"role": "user" if index % 2 else "assistant", "content": statement})
    return messages


def make_brief(seed: int, sentences: int) -> str:
    """Random sentences, different for every seed, of about 28 tokens each."""
    rng = random.Random(seed)
    return " ".join(
        f"In {rng.randrange(1990, 2025)}, a survey of {rng.randrange(200, 9000)} {rng.choice(_PEOPLE)} in "
        f"{rng.choice(_PLACES)} found that {rng.choice(_THINGS)} {rng.choice(('rose', 'fell'))} by "
        f"{rng.randrange(2, 60)} percent."
        for _ in range(sentences)
    )


_PEOPLE = ("commuters", "shop owners", "teachers", "engineers", "landlords", "nurses", "office workers", "students")
_PLACES = ("Oslo", "Lagos", "Lyon", "Osaka", "Quito", "Leeds", "Austin", "Perth", "Turin", "Cairo")
_THINGS = ("rents", "traffic", "lunch sales", "local taxes", "air quality", "evening visits", "house prices", "trust")


def _turn(index: int, sample: Sample) -> DebateTurn:
    return DebateTurn(
        debater=index % 2,
        number=index // 2 + 1,
        prompt_tokens=sample.prompt_tokens,
        cached_tokens=sample.cached_tokens,
        first_token_seconds=sample.first_token_seconds,
        text=sample.text,
        error=sample.error,
    )
