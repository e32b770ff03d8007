"""When models are loaded and unloaded, and the memory that they may take."""

from __future__ import annotations

from typing import get_args

from providers.spec import LoadPolicy
from server.settings.options._option import model_option, server_option
from server.settings.parsers import boolean, choice, duration, size

__all__ = ["LOADING_OPTIONS"]

_MEGABYTE = 1_000_000

LOADING_OPTIONS = (
    model_option(
        "on_demand",
        "ON_DEMAND",
        "Load the model for its first request, instead of at start.",
        boolean,
        default=False,
        default_text="off",
        boolean=True,
        group="Loading",
    ),
    model_option(
        "load_policy",
        "LOAD_POLICY",
        "What a request gets while its model is being loaded: `wait` lets it wait for the model, `refuse` answers with "
        "status 503 and Retry-After while the load goes on.",
        choice(get_args(LoadPolicy)),
        default="wait",
        default_text="wait",
        metavar="|".join(get_args(LoadPolicy)),
        group="Loading",
    ),
    model_option(
        "ttl",
        "MODEL_TTL",
        "Time without a request after which the model is unloaded, in seconds or with a unit, e.g. 600, 10m or 1h30m; "
        "its next request loads it again. 0: never.",
        duration,
        default_text="never",
        metavar="TIME",
        group="Loading",
        example="10m",
    ),
    model_option(
        "pin",
        "PIN_MODEL",
        "Never unload the model to make room for another one, nor after its --ttl.",
        boolean,
        default=False,
        default_text="off",
        boolean=True,
        group="Loading",
    ),
    server_option(
        "memory_limit",
        "MEMORY_LIMIT",
        "Maximum memory of all models together, e.g. 24GB or 512MiB. The models unused for longest are unloaded to "
        "make room for another; no model gets more than this.",
        size(_MEGABYTE),
        default_text="no limit but MLX's own for each model",
        metavar="SIZE",
        group="Loading",
        example="24GB",
    ),
    model_option(
        "max_memory",
        "MAX_MEMORY",
        "Maximum memory that MLX uses for a model, e.g. 8GB or 512MiB.",
        size(_MEGABYTE),
        default_text="--memory-limit, or MLX's own limit without it",
        metavar="SIZE",
        group="Loading",
        example="8GB",
    ),
    model_option(
        "wired_limit",
        "WIRED_LIMIT",
        "Memory of a model that macOS keeps wired, so that it is neither compressed nor swapped out; 0 wires none. It "
        "has no effect on other systems.",
        size(0),
        default_text="MLX's own limit",
        metavar="SIZE",
        group="Loading",
        example="16GB",
    ),
)
