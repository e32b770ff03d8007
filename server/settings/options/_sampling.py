"""How language models choose tokens where a request leaves it open. Requests override these options."""

from __future__ import annotations

from typing import Any

from server.settings.options._option import Option, model_option
from server.settings.parser import Parser
from server.settings.parsers import integer, number

__all__ = ["SAMPLING_OPTIONS"]


def _sampling(name: str, env: str, help: str, parse: Parser[Any], **rest: Any) -> Option:
    return model_option(name, env, help, parse, group="Sampling", **rest)


SAMPLING_OPTIONS: tuple[Option, ...] = (
    _sampling(
        "max_tokens",
        "DEFAULT_MAX_TOKENS",
        "Number of tokens after which an answer ends.",
        integer(1),
        default_text="the rest of the context; 16 for /v1/completions, as with OpenAI",
        metavar="TOKENS",
        example="512",
    ),
    _sampling(
        "temperature",
        "DEFAULT_TEMPERATURE",
        "Randomness of the next token; 0 always takes the most likely one.",
        number(0.0, 100.0),
        default_text="the model's generation_config, else 1",
        metavar="NUMBER",
        example="0.7",
    ),
    _sampling(
        "top_p",
        "DEFAULT_TOP_P",
        "Sample from the most likely tokens that together have this probability.",
        number(0.0, 1.0),
        default_text="the model's generation_config, else 1",
        metavar="NUMBER",
        example="0.95",
    ),
    _sampling(
        "top_k",
        "DEFAULT_TOP_K",
        "Sample from this number of the most likely tokens; 0 does not limit them.",
        integer(-1, 2**31),
        default_text="the model's generation_config, else 0",
        metavar="COUNT",
        example="20",
    ),
    _sampling(
        "min_p",
        "DEFAULT_MIN_P",
        "Exclude tokens that are less likely than this share of the most likely one.",
        number(0.0, 1.0),
        default_text="the model's generation_config, else 0",
        metavar="NUMBER",
        example="0.05",
    ),
    _sampling(
        "repetition_penalty",
        "DEFAULT_REPETITION_PENALTY",
        "Divisor for the logits of recent tokens; 1 changes nothing.",
        number(0.0, 100.0, above=True),
        default_text="the model's generation_config, else 1",
        metavar="NUMBER",
        example="1.1",
    ),
    _sampling(
        "repetition_context_size",
        "DEFAULT_REPETITION_CONTEXT_SIZE",
        "Number of recent tokens that `--repetition-penalty` considers.",
        integer(1, 2**31),
        default_text="20",
        metavar="TOKENS",
        example="20",
    ),
    _sampling(
        "presence_penalty",
        "DEFAULT_PRESENCE_PENALTY",
        "Subtracted from the logit of every token that the answer already contains.",
        number(-100.0, 100.0),
        default_text="0",
        metavar="NUMBER",
        example="0.5",
    ),
    _sampling(
        "frequency_penalty",
        "DEFAULT_FREQUENCY_PENALTY",
        "Subtracted from a token's logit for each time that the answer contains it.",
        number(-100.0, 100.0),
        default_text="0",
        metavar="NUMBER",
        example="0.5",
    ),
    _sampling(
        "xtc_probability",
        "DEFAULT_XTC_PROBABILITY",
        "Probability with which XTC excludes the most likely tokens.",
        number(0.0, 1.0),
        default_text="0",
        metavar="NUMBER",
        example="0.5",
    ),
    _sampling(
        "xtc_threshold",
        "DEFAULT_XTC_THRESHOLD",
        "Probability from which XTC excludes a token.",
        number(0.0, 0.5),
        default_text="0.1",
        metavar="NUMBER",
        example="0.1",
    ),
    _sampling(
        "seed",
        "DEFAULT_SEED",
        "Seed of every answer: equal requests get equal answers.",
        integer(0, 2**63 - 1),
        default_text="none (answers vary)",
        metavar="NUMBER",
        example="42",
    ),
)
"""In the order of the help. Their names are those of the request's parameters."""
