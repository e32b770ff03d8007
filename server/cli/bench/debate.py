"""The scenario this server is for: two debaters over one growing transcript, on any OpenAI-compatible server.

Each has a system prompt of its own, has read the same brief, and hears the other's statements as its user. Their turns
interleave, so a server that keeps one conversation alone forgets each of them in between.
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
    """One statement. Tokens are from `usage`, 0 where a server tells none."""

    debater: int
    """0 speaks first, then 1."""
    number: int
    """Of this debater's turns, from 1."""
    prompt_tokens: int
    cached_tokens: int
    first_token_seconds: float
    text: str
    error: str | None = None


@attrs.frozen(kw_only=True)
class DebateResult:
    """All statements in the order they were made."""

    turns: tuple[DebateTurn, ...]

    @property
    def ratios(self) -> list[float]:
        """Of each turn but a debater's first: its time to the first token over that of the debater's first turn."""
        first = {turn.debater: turn.first_token_seconds for turn in reversed(self.turns)}
        return [turn.first_token_seconds / first[turn.debater] for turn in self.turns if turn.number > 1]

    @property
    def worst_ratio(self) -> float:
        """NaN where nobody spoke twice."""
        return max(self.ratios, default=float("nan"))

    @property
    def first_error(self) -> str | None:
        return next((turn.error for turn in self.turns if turn.error), None)


def same_answers(one: DebateResult, other: DebateResult) -> float:
    """The share of turns that say the same in both. Only fair if one heard the other's transcript."""
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
    """Hold a debate on the server at `url` (ending in `/v1`), `turns` statements a debater.

    `brief_sentences`: 72 are about 2,000 tokens. Briefs of two `seed`s have nothing in common. `parameters`: more of
    the request's body. With `script`, the transcript takes the statements made there instead of those made now, so
    that two servers can be asked the same questions. A failed turn ends the debate and is the last of the result.
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
    """The conversation as `debater` knows it, whose turn it is after `transcript`."""
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
    """Sentences that no server has seen, about 28 tokens each."""
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
