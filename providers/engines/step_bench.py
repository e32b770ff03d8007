"""Parts of a decode step and their times: `python -m providers.engines.step_bench [MODEL | --random SHAPE] …`.

Measures mlx-lm's step first, then our own. Prints one JSON list per part: whose step, the number of
sequences, the part's name, its milliseconds and, where it has to read known bytes, the milliseconds that the device
takes to read them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from providers.engines.process import platform

platform.prepare()

import mlx.core as mx  # noqa: E402
import numpy as np  # noqa: E402
from mlx.nn.layers.linear import Linear  # noqa: E402
from mlx.nn.layers.normalization import RMSNorm  # noqa: E402
from mlx.nn.layers.quantized import QuantizedLinear  # noqa: E402
from mlx_lm.models.cache import make_prompt_cache  # noqa: E402

from providers.engines.decode.random_model import SHAPES, random_model  # noqa: E402
from providers.engines.decode.step import prepare_decode_step  # noqa: E402
from providers.engines.language.loading import load_language_model  # noqa: E402
from providers.engines.process.weights import mlx_device, weight_bytes  # noqa: E402
from providers.spec import DecodeStep, ModelSpec  # noqa: E402

WARM = 3
COPIED = 1 << 28
"""Numbers that are copied to measure the device's bandwidth; fewer on a CPU."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default="embedded:smollm2-135m-instruct")
    parser.add_argument("--random", choices=SHAPES)
    parser.add_argument("--sequences", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--context", type=int, default=576)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    device = mlx_device()
    bandwidth = bytes_per_second(device)
    choices: tuple[DecodeStep, ...] = ("mlx-lm", "own")
    for choice in choices:
        model = load(options.model, options.random, device, choice)
        for count in options.sequences:
            step = StepBench(model, count, options.context, options.steps)
            for part, (milliseconds, size) in step.parts().items():
                floor = size / bandwidth * 1e3 if size else None
                print(json.dumps([choice, count, part, milliseconds, floor]), flush=True)
        # One model at a time is in memory.
        del model, step


def load(path: str, shape: str | None, device: str, choice: DecodeStep) -> Any:
    if shape is None:
        spec = ModelSpec(name="bench", path=path, decode_step=choice)
        return load_language_model(spec, device, lambda stage, fraction: None).model
    model, _ = random_model(shape)
    prepare_decode_step(model, device, choice)
    return model


def bytes_per_second(device: str) -> float:
    """Bytes that the device reads and writes per second in a copy."""
    if device == "cpu":
        # MLX copies on a CPU with one thread, and not faster than it computes.
        source = np.ones(COPIED >> 4, dtype=np.float32)
        target = np.empty_like(source)
        return 2 * source.nbytes / (median(lambda: np.copyto(target, source), 5) / 1e3)
    array = mx.random.normal((COPIED,), dtype=mx.bfloat16)
    mx.eval(array)
    return 4 * array.nbytes / (median(lambda: mx.concatenate([array, array]), 5) / 1e3)


def median(compute: Callable[[], Any], times: int) -> float:
    """Milliseconds of a computation."""
    taken = []
    for _ in range(WARM + times):
        started = time.perf_counter()
        mx.eval(compute())
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[WARM:]) * 1e3


class StepBench:
    """The decode step of a number of sequences, all with the same context."""

    def __init__(self, model: Any, count: int, context: int, steps: int) -> None:
        self._model, self._count, self._steps = model, count, steps
        self._caches = [layer.merge([layer] * count) for layer in make_prompt_cache(model)]
        self._logits = model(mx.zeros((count, context), dtype=mx.uint32), cache=self._caches)[:, -1]
        mx.eval(self._logits)

    def parts(self) -> dict[str, tuple[float, int]]:
        """Milliseconds of each part, and the bytes that it has to read; 0 if they are few or unknown."""
        kept = sum(cache.nbytes for cache in self._caches)
        found = {
            "linears": (self._time(self._linears()), weight_bytes(self._model)),
            "norms": (self._time(self._norms()), 0),
            "rotary": (self._time(self._rotations()), 0),
            "attention": (self._time(self._attentions()), kept),
            "sampling": (self._time([lambda: mx.argmax(self._logits, axis=-1)]), 0),
        }
        step, build, launch = self._whole()
        found |= {"step": (step, weight_bytes(self._model) + kept), "host: build": (build, 0)}
        return found | {"host: launch": (launch, 0)}

    def _time(self, calls: list[Callable[[], mx.array]]) -> float:
        return median(lambda: [call() for call in calls], self._steps)

    def _input(self, *shape: int) -> mx.array:
        array = mx.random.normal((self._count, *shape)).astype(self._logits.dtype)
        mx.eval(array)
        return array

    def _linears(self) -> list[Callable[[], mx.array]]:
        calls: list[Callable[[], mx.array]] = []
        for _, module in self._model.named_modules():
            if isinstance(module, Linear | QuantizedLinear):
                x = self._input(1, module.weight.shape[1] * 32 // getattr(module, "bits", 32))
                calls.append(lambda module=module, x=x: module(x))  # type: ignore[misc]
        return calls

    def _norms(self) -> list[Callable[[], mx.array]]:
        norms = [module for _, module in self._model.named_modules() if isinstance(module, RMSNorm)]
        inputs = [self._input(1, norm.weight.size) for norm in norms]
        return [lambda norm=norm, x=x: norm(x) for norm, x in zip(norms, inputs, strict=True)]  # type: ignore[misc]

    def _rotations(self) -> list[Callable[[], mx.array]]:
        calls: list[Callable[[], mx.array]] = []
        for layer, cache in zip(self._model.layers, self._caches, strict=True):
            attention = getattr(layer, "self_attn", None)
            if attention is not None and hasattr(attention, "rope") and hasattr(cache, "keys"):
                width = cache.keys.shape[-1]
                for heads in (attention.n_heads, attention.n_kv_heads):
                    x = self._input(heads, 1, width)
                    rope, offset = attention.rope, cache.offset
                    calls.append(lambda rope=rope, x=x, offset=offset: rope(x, offset=offset))  # type: ignore[misc]
        return calls

    def _attentions(self) -> list[Callable[[], mx.array]]:
        calls: list[Callable[[], mx.array]] = []
        for layer, cache in zip(self._model.layers, self._caches, strict=True):
            attention: Any = getattr(layer, "self_attn", None)
            function: Any = getattr(sys.modules[type(attention).__module__], "scaled_dot_product_attention", None)
            if function is not None and hasattr(cache, "keys_and_values"):
                queries = self._input(attention.n_heads, 1, cache.keys.shape[-1])
                calls.append(_attention(function, queries, cache, attention.scale))
        return calls

    def _whole(self) -> tuple[float, float, float]:
        """Milliseconds of a step, as the engine pipelines them, and of the host's two parts of it."""
        fed = mx.zeros((self._count,), dtype=mx.uint32)
        mx.eval(fed)
        taken, built, launched = [], [], []
        for _ in range(WARM + self._steps):
            started = time.perf_counter()
            following = mx.argmax(self._model(fed[:, None], cache=self._caches)[:, -1], axis=-1)
            ready = time.perf_counter()
            mx.async_eval(following)  # type: ignore[no-untyped-call]
            sent = time.perf_counter()
            mx.eval(fed)
            fed = following
            taken.append(time.perf_counter() - started)
            built.append(ready - started)
            launched.append(sent - ready)
        mx.eval(fed)
        step, build, launch = (statistics.median(times[WARM:]) * 1e3 for times in (taken, built, launched))
        return step, build, launch


def _attention(function: Any, queries: mx.array, cache: Any, scale: float) -> Callable[[], mx.array]:
    keys, values = cache.keys_and_values()
    cache._idx -= 1
    mask = cache.make_mask(1)
    cache._idx += 1
    mx.eval(mask)
    return lambda: function(queries, keys, values, cache=cache, scale=scale, mask=mask)


if __name__ == "__main__":
    main()
