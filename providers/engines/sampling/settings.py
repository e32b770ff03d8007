"""How the next token is chosen: settings, resolved and checked on the intake."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from providers.chat.types import SamplingParams
from providers.engines.sampling.penalties import Bias, CountPenalty, Processor, RepetitionPenalty
from providers.errors import InvalidRequest

__all__ = ["Settings", "make_processors", "resolve", "with_defaults"]

GREEDY_BELOW = 1e-4
"""A temperature under this is greedy: 1 / temperature would leave float16's range."""
REPETITION_CONTEXT = 20
MAX_BIASES = 4096


@attrs.frozen(kw_only=True)
class Settings:
    """Which tokens may be drawn, and the temperature. Filters of `top_p` 1, `top_k` 0 and `min_p` 0 keep every token.

    They keep the tokens that mlx-lm's keep, in mlx-lm's order (`top_p`, `min_p`, XTC, `top_k`, then the temperature),
    and also tokens as likely as the least likely of them.
    """

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
