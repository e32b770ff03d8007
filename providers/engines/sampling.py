"""How the next token is chosen: settings resolved and checked on the intake, samplers and processors on MLX.

Filters keep what mlx-lm's keep in mlx-lm's order (top_p, min_p, XTC, top_k, then temperature); the samplers are ours
because mlx-lm's cannot be seeded, read `top_p=0` as off, and raise inside the batch on values we let through.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import mlx.core as mx
from mlx_lm.sample_utils import apply_min_p, apply_top_k, make_logits_processors

from providers.engines.nucleus import keep_top_p, top_mass
from providers.errors import InvalidRequest
from providers.generation import SamplingParams

__all__ = [
    "DrawsAhead",
    "Processor",
    "Sampler",
    "Settings",
    "draws_ahead",
    "make_processors",
    "make_sampler",
    "resolve",
]

Sampler = Callable[[mx.array], mx.array]
"""Log-probabilities (rows, vocabulary) to token ids (rows)."""
Processor = Callable[[mx.array, mx.array], mx.array]
"""Every token fed so far (n), logits (1, vocabulary) to logits (1, vocabulary)."""

GREEDY_BELOW = 1e-4
"""A temperature under this is greedy: 1 / temperature would leave float16's range."""
REPETITION_CONTEXT = 20
MAX_BIASES = 4096


@attrs.frozen(kw_only=True)
class Settings:
    """What a sampler is made of; answers with equal settings and no seed share one."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1

    @property
    def greedy(self) -> bool:
        return self.temperature < GREEDY_BELOW or self.top_p == 0.0 or self.top_k == 1


def resolve(params: SamplingParams, defaults: Mapping[str, Any], *, vocabulary: int) -> Settings:
    """The request's values, else the model's generation_config, else OpenAI's. `vocabulary`: count of usable ids.

    Raises:
        InvalidRequest: a value is out of range; `param` names it.
    """
    _check_penalties(params, vocabulary)
    do_sample = defaults.get("do_sample", True)
    temperature = _default(defaults, "temperature", 1.0) if do_sample is not False else 0.0
    top_k = int(_number(params, "top_k", _default(defaults, "top_k", 0), low=-1, high=2**31))
    return Settings(
        temperature=_number(params, "temperature", temperature, low=0.0, high=100.0),
        top_p=_number(params, "top_p", _default(defaults, "top_p", 1.0), low=0.0, high=1.0),
        top_k=top_k if 0 < top_k < vocabulary else 0,
        min_p=_number(params, "min_p", _default(defaults, "min_p", 0.0), low=0.0, high=1.0),
        xtc_probability=_number(params, "xtc_probability", 0.0, low=0.0, high=1.0),
        xtc_threshold=_number(params, "xtc_threshold", 0.1, low=0.0, high=0.5),
    )


def _check_penalties(params: SamplingParams, vocabulary: int) -> None:
    _number(params, "presence_penalty", 0.0, low=-100.0, high=100.0)
    _number(params, "frequency_penalty", 0.0, low=-100.0, high=100.0)
    if _number(params, "repetition_penalty", 1.0, low=0.0, high=100.0) == 0.0:
        raise InvalidRequest("repetition_penalty must be greater than 0", param="repetition_penalty")
    _number(params, "repetition_context_size", REPETITION_CONTEXT, low=1, high=2**31)
    biases = params.logit_bias or {}
    if len(biases) > MAX_BIASES:
        raise InvalidRequest(f"logit_bias has more than {MAX_BIASES} entries", param="logit_bias")
    for token, bias in biases.items():
        if not 0 <= token < vocabulary:
            message = f"logit_bias: token id {token} is not in this model's vocabulary (0 to {vocabulary - 1})"
            raise InvalidRequest(message, param="logit_bias")
        if not -100.0 <= bias <= 100.0:
            raise InvalidRequest(f"logit_bias: {bias} is not between -100 and 100", param="logit_bias")


def _default(defaults: Mapping[str, Any], name: str, fallback: float) -> float:
    value = defaults.get(name)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable and value is not None else fallback


def _number(params: SamplingParams, name: str, default: float, *, low: float, high: float) -> float:
    value = getattr(params, name)
    if value is None:
        return default
    # Written so that NaN fails it too.
    if not low <= value <= high:
        raise InvalidRequest(f"{name} must be between {low} and {high}, not {value}", param=name)
    return float(value)


def make_sampler(settings: Settings, seed: int | None) -> Sampler:
    """A sampler of these settings. Equal settings without a seed give the same object, so that a batch whose
    rows agree is sampled in one call; a seed gives an object with a random sequence of its own."""
    if seed is None or settings.greedy:
        return _shared_sampler(settings)
    return _SeededSampler(settings, seed)


@functools.lru_cache(maxsize=256)
def _shared_sampler(settings: Settings) -> Sampler:
    if settings.greedy:
        return _greedy
    return _SharedSampler(settings)


def _greedy(logprobs: mx.array) -> mx.array:
    return mx.argmax(logprobs, axis=-1)


class _SharedSampler:
    __slots__ = ("_settings",)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, logprobs: mx.array) -> mx.array:
        return _draw(logprobs, self._settings, None, None)


class _SeededSampler:
    """Draws from a sequence of keys of its own: the same seed gives the same draws whoever shares the batch."""

    __slots__ = ("_settings", "key")

    def __init__(self, settings: Settings, seed: int) -> None:
        self._settings = settings
        self.key = mx.random.key(seed & 0xFFFFFFFFFFFFFFFF)

    def __call__(self, logprobs: mx.array) -> mx.array:
        self.key, draw, xtc = mx.random.split(self.key, 3)
        return _draw(logprobs, self._settings, draw, xtc)


class DrawsAhead:
    """The tokens behind several tokens of one row, drawn as a sampler draws them one by one."""

    __slots__ = ("_keys", "_sampler")

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._keys: list[mx.array] = []

    def draw(self, logprobs: mx.array) -> mx.array:
        """One token of each row of `logprobs` (places, vocabulary), which are places of one text in order."""
        sampler = self._sampler
        if not isinstance(sampler, _SeededSampler):
            return sampler(logprobs)
        drawn = []
        for place in range(logprobs.shape[0]):
            drawn.append(sampler(logprobs[place : place + 1]))
            self._keys.append(sampler.key)
        return mx.concatenate(drawn)

    def keep(self, count: int) -> None:
        """Only the first so many of them stay: the next draw is the one after those."""
        if isinstance(self._sampler, _SeededSampler):
            self._sampler.key = self._keys[count - 1]


def draws_ahead(sampler: Any) -> DrawsAhead | None:
    """None for a sampler that is not one of this module's, and may keep books of its own."""
    known = sampler is _greedy or isinstance(sampler, _SharedSampler | _SeededSampler)
    return DrawsAhead(sampler) if known else None


def _draw(logprobs: mx.array, settings: Settings, key: mx.array | None, xtc_key: mx.array | None) -> mx.array:
    ids = None
    mass = top_mass(logprobs, settings.top_p) if settings.top_p < 1.0 else 1.0
    if settings.top_k and settings.xtc_probability == 0.0:
        # No other token can be drawn, so none is sorted or compared. (XTC looks at what top_k leaves out.)
        ids = mx.argpartition(logprobs, kth=-settings.top_k, axis=-1)[:, -settings.top_k :]
        logprobs = mx.take_along_axis(logprobs, ids, axis=-1)
    if settings.top_p < 1.0:
        logprobs = keep_top_p(logprobs, mass)
    if settings.min_p > 0.0:
        logprobs = apply_min_p(logprobs, settings.min_p)
    if settings.xtc_probability > 0.0:
        logprobs = _apply_xtc(logprobs, settings.xtc_probability, settings.xtc_threshold, xtc_key)
        if settings.top_k:
            logprobs = apply_top_k(logprobs, settings.top_k)
    drawn = mx.random.categorical(logprobs * (1.0 / settings.temperature), key=key)
    return drawn if ids is None else mx.take_along_axis(ids, drawn[:, None], axis=-1)[:, 0]


def _apply_xtc(logprobs: mx.array, probability: float, threshold: float, key: mx.array | None) -> mx.array:
    """Exclude top choices: with this probability, drop every token over the threshold but the least likely.

    As mlx-lm's `apply_xtc`, with a draw for each row and from the row's own key.
    """
    probs = mx.softmax(logprobs, axis=-1)
    least_above = mx.where(probs > threshold, probs, mx.inf).min(axis=-1, keepdims=True)
    draw = mx.random.uniform(shape=(logprobs.shape[0], 1), key=key)
    return mx.where((probs > least_above) & (draw < probability), -mx.inf, logprobs)


def make_processors(params: SamplingParams, defaults: Mapping[str, Any]) -> list[Processor]:
    """Logits processors of one answer, in order: penalties, then bias. They keep state: never share them."""
    processors: list[Processor] = []
    repetition = params.repetition_penalty or _default(defaults, "repetition_penalty", 1.0)
    if repetition > 0.0 and repetition != 1.0:
        size = params.repetition_context_size or REPETITION_CONTEXT
        processors.extend(make_logits_processors(repetition_penalty=repetition, repetition_context_size=size))
    if params.presence_penalty or params.frequency_penalty:
        processors.append(_CountPenalty(params.presence_penalty or 0.0, params.frequency_penalty or 0.0))
    if params.logit_bias:
        processors.extend(make_logits_processors(logit_bias=params.logit_bias))
    return processors


class _CountPenalty:
    """OpenAI's presence and frequency penalties: over the tokens of the answer, all of it, and not the prompt.

    Called once a step with everything fed so far; the first call is the prompt alone.
    """

    __slots__ = ("_counts", "_frequency", "_presence")

    def __init__(self, presence: float, frequency: float) -> None:
        self._presence = presence
        self._frequency = frequency
        self._counts: mx.array | None = None

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        if self._counts is None:
            self._counts = mx.zeros(logits.shape, dtype=mx.float32)
            return logits
        self._counts = self._counts.at[:, tokens[-1:]].add(1.0)
        penalty = self._frequency * self._counts + self._presence * (self._counts > 0)
        return logits - penalty.astype(logits.dtype)
