"""A model on several engines or devices."""

from __future__ import annotations

from server.settings.options._option import Option, model_option
from server.settings.parsers import devices, integer

__all__ = ["SCALING_OPTIONS"]

SCALING_OPTIONS: tuple[Option, ...] = (
    model_option(
        "replicas",
        "REPLICAS",
        "Number of engines of a model, behind one queue: each has the weights, a prefix cache and --max-concurrency of "
        "its own. docs/replicas.md tells when that helps.",
        integer(1, 64),
        default_text="one, or one per device of --devices",
        metavar="COUNT",
        group="Scaling",
        example="2",
    ),
    model_option(
        "devices",
        "DEVICES",
        "CUDA devices of a model's replicas, by their numbers, separated by commas. Each replica sees only its own.",
        devices,
        default=(),
        default_text="every engine sees all devices, and uses the first",
        metavar="NUMBERS",
        group="Scaling",
        example="0,1",
    ),
)
