"""How the next token is chosen: settings resolved and checked on the intake, samplers and processors on MLX.

Filters keep the tokens that mlx-lm's keep, in mlx-lm's order (top_p, min_p, XTC, top_k, then temperature). The samplers
are our own because mlx-lm's draw row by row where settings differ, cannot be seeded, read `top_p=0` as off, and raise
inside the batch on values that we accept.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import mlx.core as mx
import msgspec
from mlx_lm.sample_utils import apply_min_p, apply_top_k

from providers.chat.types import SamplingParams
from providers.engines.sampling.kernels import Drawing, Filters, candidate_count
from providers.engines.sampling.penalties import Bias, CountPenalty, Processor, RepetitionPenalty
from providers.engines.sampling.top_p import least_kept
from providers.errors import InvalidRequest

__all__ = [
    "DrawsAhead",
    "JointSampler",
    "Sampler",
    "Settings",
    "draws_ahead",
    "is_seeded",
    "make_processors",
    "make_sampler",
    "resolve",
    "skip_draws",
    "with_defaults",
]

Sampler = Callable[[mx.array], mx.array]
"""Logits (rows, vocabulary), normalised or not → token ids (rows)."""

GREEDY_BELOW = 1e-4
"""A temperature under this is greedy: 1 / temperature would leave float16's range."""
REPETITION_CONTEXT = 20
MAX_BIASES = 4096


@attrs.frozen(kw_only=True)
class Settings(Filters):
    """The settings of a sampler. Sequences with equal settings and no seed share one sampler."""

    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1

    @property
    def greedy(self) -> bool:
        return self.temperature < GREEDY_BELOW or self.top_p == 0.0 or self.top_k == 1


def resolve(params: SamplingParams, defaults: Mapping[str, Any], *, vocabulary: int) -> Settings:
    """The request's values, else those of the model's generation_config, else OpenAI's.

    `vocabulary`: count of usable ids.

    Raises:
        InvalidRequest: a value is out of range; `param` names it.
    """
    _check_penalties(params, vocabulary)
    temperature = 0.0 if defaults.get("do_sample") is False else _default(defaults, "temperature", 1.0)
    top_k = int(_number(params, "top_k", _default(defaults, "top_k", 0), low=-1, high=2**31))
    return Settings(
        temperature=_number(params, "temperature", temperature, low=0.0, high=100.0),
        top_p=_number(params, "top_p", _default(defaults, "top_p", 1.0), low=0.0, high=1.0),
        top_k=top_k if 0 < top_k < vocabulary else 0,
        min_p=_number(params, "min_p", _default(defaults, "min_p", 0.0), low=0.0, high=1.0),
        xtc_probability=_number(params, "xtc_probability", 0.0, low=0.0, high=1.0),
        xtc_threshold=_number(params, "xtc_threshold", 0.1, low=0.0, high=0.5),
    )


def with_defaults(params: SamplingParams, defaults: SamplingParams) -> SamplingParams:
    """The request's values; where it has none, those of the server's options."""
    missing = {
        name: value
        for name in params.__struct_fields__
        if getattr(params, name) is None and (value := getattr(defaults, name)) is not None
    }
    return msgspec.structs.replace(params, **missing) if missing else params


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
    # Written so that NaN fails too.
    if not low <= value <= high:
        raise InvalidRequest(f"{name} must be between {low} and {high}, not {value}", param=name)
    return float(value)


def make_sampler(settings: Settings, seed: int | None) -> Sampler:
    """A sampler of these settings.

    Equal settings without a seed give the same object, so that a batch whose rows agree is sampled in one call. A seed
    gives an object with a random sequence of its own.
    """
    if seed is None or settings.greedy:
        return _shared_sampler(settings)
    return _SeededSampler(settings, seed)


@functools.lru_cache(maxsize=256)
def _shared_sampler(settings: Settings) -> Sampler:
    if settings.greedy:
        return _greedy
    return _SharedSampler(settings)


def skip_draws(sampler: Sampler, count: int) -> None:
    """Leave a sampler as if it had drawn this many tokens."""
    if isinstance(sampler, _SeededSampler):
        for _ in range(count):
            sampler.key = mx.random.split(sampler.key, 3)[0]
            mx.eval(sampler.key)


def _greedy(logits: mx.array) -> mx.array:
    return mx.argmax(logits, axis=-1)


class _SharedSampler:
    __slots__ = ("_drawing", "settings")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._drawing = Drawing([settings])

    def __call__(self, logits: mx.array) -> mx.array:
        if self.settings.xtc_probability:
            return _draw_with_xtc(logits, self.settings, None, None)
        return self._drawing.draw(logits, mx.random.uniform(shape=(logits.shape[0], 1)))


class _SeededSampler:
    """Draws from its own sequence of keys: the same seed gives the same draws, whatever else is in the batch."""

    __slots__ = ("_drawing", "key", "settings")

    def __init__(self, settings: Settings, seed: int) -> None:
        self.settings = settings
        self.key = mx.random.key(seed & 0xFFFFFFFFFFFFFFFF)
        self._drawing = Drawing([settings])

    def __call__(self, logits: mx.array) -> mx.array:
        self.key, draw, xtc = mx.random.split(self.key, 3)
        if self.settings.xtc_probability:
            return _draw_with_xtc(logits, self.settings, draw, xtc)
        return self._drawing.draw(logits, mx.random.uniform(shape=(logits.shape[0], 1), key=draw))


class JointSampler:
    """The samplers of several rows in a few calls: each row draws the token that its own sampler would.

    It owns the rows' sequences of keys until `release`: their samplers are not called meanwhile.
    """

    def __init__(self, samplers: Sequence[Sampler]) -> None:
        self._separate: list[tuple[int, Sampler]] = []
        """Samplers that keep records of their own, and those with XTC, which is rare."""
        groups: dict[int, list[tuple[int, _SharedSampler | _SeededSampler]]] = {}
        for row, sampler in enumerate(samplers):
            if sampler is _greedy:
                continue
            if isinstance(sampler, _SharedSampler | _SeededSampler) and not sampler.settings.xtc_probability:
                groups.setdefault(candidate_count(sampler.settings.top_k), []).append((row, sampler))
            else:
                self._separate.append((row, sampler))
        drawn = [pair for group in groups.values() for pair in group]
        self._seeded = [(place, one) for place, (_, one) in enumerate(drawn) if isinstance(one, _SeededSampler)]
        self._keys = mx.stack([_key_of(one) for _, one in drawn]) if drawn else None
        self._groups = [
            (None if len(group) == len(samplers) else mx.array([row for row, _ in group]), len(group), _drawing(group))
            for group in groups.values()
        ]

    @property
    def state(self) -> list[mx.array]:
        """Arrays to evaluate on every step; otherwise MLX's lazy graph keeps growing."""
        return [] if self._keys is None else [self._keys]

    def __call__(self, logits: mx.array) -> mx.array:
        """Logits (rows, vocabulary) → token ids (rows)."""
        tokens = mx.argmax(logits, axis=-1)
        if self._keys is not None:
            self._keys, numbers = _advance_all(self._keys)
            begin = 0
            for rows, count, drawing in self._groups:
                some = logits if rows is None else logits[rows]
                found = drawing.draw(some, numbers[begin : begin + count])
                if rows is None:
                    return found
                tokens[rows] = found
                begin += count
        for row, sampler in self._separate:
            tokens[row : row + 1] = sampler(logits[row : row + 1])
        return tokens

    def release(self) -> None:
        """Let the rows' own samplers continue from here."""
        if self._keys is not None:
            for place, sampler in self._seeded:
                sampler.key = self._keys[place]


def _drawing(group: Sequence[tuple[int, _SharedSampler | _SeededSampler]]) -> Drawing:
    return Drawing([sampler.settings for _, sampler in group])


def _key_of(sampler: _SharedSampler | _SeededSampler) -> mx.array:
    return sampler.key if isinstance(sampler, _SeededSampler) else mx.random.key(random.getrandbits(64))


def _advance(key: mx.array) -> tuple[mx.array, mx.array]:
    """The next key of a row, and its number from [0, 1), (1)."""
    key, draw, _ = mx.random.split(key, 3)
    return key, mx.random.uniform(shape=(1,), key=draw)


_advance_all: Any = mx.vmap(_advance)
"""Keys (rows, 2) → the next keys and a number per row, (rows, 1), which do not depend on the other rows."""


class DrawsAhead:
    """The tokens after several tokens of one sequence, drawn as a sampler draws them one by one."""

    __slots__ = ("_keys", "_sampler")

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._keys = [sampler.key] if isinstance(sampler, _SeededSampler) else []

    def draw(self, logits: mx.array) -> mx.array:
        """One token per row of `logits` (places, vocabulary), which are consecutive places of one text."""
        sampler = self._sampler
        if not isinstance(sampler, _SeededSampler):
            return sampler(logits)
        drawn = []
        for place in range(logits.shape[0]):
            drawn.append(sampler(logits[place : place + 1]))
            self._keys.append(sampler.key)
        return mx.concatenate(drawn)

    def keep(self, count: int) -> None:
        """Keep only the first `count` of the drawn tokens: the next draw is the one after those."""
        if isinstance(self._sampler, _SeededSampler):
            self._sampler.key = self._keys[count]


def draws_ahead(sampler: Any) -> DrawsAhead | None:
    """A `DrawsAhead` of the sampler; None for one of another module, which may keep records of its own."""
    known = sampler is _greedy or isinstance(sampler, _SharedSampler | _SeededSampler)
    return DrawsAhead(sampler) if known else None


def is_seeded(sampler: Any) -> bool:
    """Whether a sampler has a sequence of random numbers of its own, so that no two calls of it draw alike."""
    return isinstance(sampler, _SeededSampler)


def _draw_with_xtc(logits: mx.array, settings: Settings, key: mx.array | None, xtc_key: mx.array | None) -> mx.array:
    logits = logits.astype(mx.float32)
    logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    if settings.top_p < 1.0:
        probabilities = mx.exp(logprobs)
        least = least_kept(probabilities, mx.array(settings.top_p))
        logprobs = mx.where(probabilities < least, -mx.inf, logprobs)
    if settings.min_p > 0.0:
        logprobs = apply_min_p(logprobs, settings.min_p)
    logprobs = _apply_xtc(logprobs, settings.xtc_probability, settings.xtc_threshold, xtc_key)
    if settings.top_k:
        logprobs = apply_top_k(logprobs, settings.top_k)
    return mx.random.categorical(logprobs * (1.0 / settings.temperature), key=key)


def _apply_xtc(logprobs: mx.array, probability: float, threshold: float, key: mx.array | None) -> mx.array:
    """Exclude top choices: with this probability, drop all tokens over the threshold but the least likely of them.

    Like mlx-lm's `apply_xtc`, but with one draw per row, from the row's own key.
    """
    probs = mx.softmax(logprobs, axis=-1)
    least_above = mx.where(probs > threshold, probs, mx.inf).min(axis=-1, keepdims=True)
    draw = mx.random.uniform(shape=(logprobs.shape[0], 1), key=key)
    return mx.where((probs > least_above) & (draw < probability), -mx.inf, logprobs)


def make_processors(params: SamplingParams, defaults: Mapping[str, Any]) -> list[Processor]:
    """Logits processors of one sequence, in order: penalties, then bias. They keep state and must not be shared."""
    processors: list[Processor] = []
    repetition = params.repetition_penalty or _default(defaults, "repetition_penalty", 1.0)
    if repetition > 0.0 and repetition != 1.0:
        processors.append(RepetitionPenalty(repetition, params.repetition_context_size or REPETITION_CONTEXT))
    if params.presence_penalty or params.frequency_penalty:
        processors.append(CountPenalty(params.presence_penalty or 0.0, params.frequency_penalty or 0.0))
    if params.logit_bias:
        processors.append(Bias(params.logit_bias))
    return processors
