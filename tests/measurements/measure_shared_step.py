"""Time of a decode step that ranks of this machine share: `python -m tests.measurements.measure_shared_step --ranks 2`.

Of mlx-lm's step and of our own, each with random weights: milliseconds of a whole step, of the host's two parts of it,
and of its sums over the ranks without the rest. It also prints how far the logits of our own step are from mlx-lm's,
relative to their norm.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from providers.engines.process import platform

WARM = 5


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--random", default="7b", help="a shape of providers.engines.decode.random_model")
    parser.add_argument("--bits", type=int, help="quantise the weights, in groups of 64")
    parser.add_argument("--sequences", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--context", type=int, default=576)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--is-rank", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.is_rank:
        platform.prepare()
        measure(options)
        return
    from providers.engines.group import launch

    module = "tests.measurements.measure_shared_step"
    launch.main([str(options.ranks), "", sys.executable, "-m", module, *sys.argv[1:], "--is-rank"])


def measure(options: argparse.Namespace) -> None:
    import mlx.core as mx
    from mlx import nn

    from providers.engines.decode.random_model import random_model
    from providers.engines.decode.step import prepare_decode_step
    from providers.engines.group.joining import Follower, end_process, join
    from providers.engines.group.sharding import divide
    from providers.engines.process.weights import mlx_device
    from providers.spec import DecodeStep, ModelSpec

    ranks = join()
    choices: tuple[DecodeStep, ...] = ("mlx-lm", "own")
    logits: dict[tuple[str, int], Any] = {}
    for choice in choices:
        model, config = random_model(options.random)
        if options.bits is not None:
            nn.quantize(model, 64, options.bits)
        divide(model, config, ModelSpec(name="m", path="", tensor_parallel=options.ranks), ranks)
        mx.eval(model.parameters())
        prepare_decode_step(model, mlx_device(), choice)
        for count in options.sequences:
            step = SharedStep(model, ranks, count, options.context)
            logits[choice, count] = step.logits
            figures = {**step.times(options.steps), "sums": step.sums(options.steps)}
            if choice == "own":
                theirs = logits["mlx-lm", count]
                figures["distance"] = (mx.linalg.norm(step.logits - theirs) / mx.linalg.norm(theirs)).item()
            if ranks.leads:
                print(choice, count, {name: round(number, 4) for name, number in figures.items()}, flush=True)
            del step
        del model
        mx.clear_cache()
    if isinstance(ranks, Follower):
        ranks.next_order()  # None comes: this process ends with rank 0.
    end_process(0, "all is measured")


class SharedStep:
    """The decode step of a number of sequences with the same context. `logits`: of its first one."""

    def __init__(self, model: Any, ranks: Any, count: int, context: int) -> None:
        import mlx.core as mx
        from mlx_lm.models.cache import make_prompt_cache

        self._mx, self._model, self._ranks, self._count = mx, model, ranks, count
        self._caches = [layer.merge([layer] * count) for layer in make_prompt_cache(model)]
        self._fed = mx.zeros((count,), dtype=mx.uint32)
        for start in range(0, context, 64):
            model(mx.zeros((count, min(64, context - start)), dtype=mx.uint32), cache=self._caches)
            mx.eval([cache.state for cache in self._caches])
        self.logits = model(self._fed[:, None], cache=self._caches)[:, -1].astype(mx.float32)
        mx.eval(self.logits, [cache.state for cache in self._caches])

    def times(self, steps: int) -> dict[str, float]:
        """Milliseconds, as the engine pipelines its steps on a GPU."""
        taken, built, launched = [], [], []
        for _ in range(WARM + steps):
            started = time.perf_counter()
            logits = self._model(self._fed[:, None], cache=self._caches)[:, -1]
            following = self._ranks.share(self._mx.argmax(logits, axis=-1))
            ready = time.perf_counter()
            self._mx.async_eval(following)
            sent = time.perf_counter()
            self._mx.eval(self._fed)
            self._fed = following
            taken.append(time.perf_counter() - started)
            built.append(ready - started)
            launched.append(sent - ready)
        self._mx.eval(self._fed)
        parts = {"step": taken, "host: build": built, "host: launch": launched}
        return {name: statistics.median(times[WARM:]) * 1e3 for name, times in parts.items()}

    def sums(self, steps: int) -> float:
        """Milliseconds of the sums of a step, one after the other."""
        mx, layers = self._mx, len(self._model.layers)
        width = self._model.layers[0].input_layernorm.weight
        states = mx.zeros((self._count, 1, width.size), dtype=width.dtype)

        def compute() -> Any:
            summed = states
            for _ in range(2 * layers):
                summed = mx.distributed.all_sum(summed, group=self._ranks.world)
            return summed

        return _median(compute, steps, mx.eval)


def _median(compute: Callable[[], Any], times: int, evaluate: Callable[..., None]) -> float:
    taken = []
    for _ in range(WARM + times):
        started = time.perf_counter()
        evaluate(compute())
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[WARM:]) * 1e3


if __name__ == "__main__":
    main()
