"""A model on several engines, devices or machines."""

from __future__ import annotations

from server.settings.options._option import Option, model_option
from server.settings.parsers import devices, integer
from server.settings.path_parsers import hostfile

__all__ = ["SCALING_OPTIONS"]

SCALING_OPTIONS: tuple[Option, ...] = (
    model_option(
        "replicas",
        "REPLICAS",
        "Number of engines of a model, behind one queue: each has the weights, a prefix cache and --max-concurrency of "
        "its own. docs/replicas.md tells when that helps.",
        integer(1, 64),
        default_text="one, or as many as --devices has devices for",
        metavar="COUNT",
        group="Scaling",
        example="2",
    ),
    model_option(
        "devices",
        "DEVICES",
        "CUDA devices of a model's replicas, by their numbers, separated by commas. Each replica sees only its own: "
        "one, or as many as processes share the model.",
        devices,
        default=(),
        default_text="every engine sees all devices, and uses the first ones",
        metavar="NUMBERS",
        group="Scaling",
        example="0,1",
    ),
    model_option(
        "tensor_parallel",
        "TENSOR_PARALLEL",
        "Number of processes that share a language model, each with a part of every layer: on several GPUs, or on the "
        "hosts of `--hostfile`. The model's heads must be divisible by it. docs/distributed.md.",
        integer(1, 256),
        default=1,
        default_text="1",
        metavar="COUNT",
        group="Scaling",
    ),
    model_option(
        "pipeline",
        "PIPELINE",
        "Number of processes that share a language model, each with some of its layers, which take turns: for models "
        "that `--tensor-parallel` cannot divide, and for slow links. The flag without a number, as "
        "mlx_lm.server has it, is 1.",
        integer(1, 256),
        default=1,
        default_text="1",
        metavar="COUNT",
        group="Scaling",
        bare="1",
    ),
    model_option(
        "hostfile",
        "HOSTFILE",
        "MLX's hostfile (JSON) with the hosts of the processes that share a model, one entry per process. The first is "
        "this machine.",
        hostfile,
        default_text="all processes on this machine",
        metavar="FILE",
        group="Scaling",
        example="hosts.json",
    ),
)
