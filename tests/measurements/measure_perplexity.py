"""Perplexity of texts, token by token in a batch: `python -m tests.measurements.measure_perplexity TEXT …`.

Each text is a sequence; all are fed one token per step, by mlx-lm's decode step and by our own. `--dtype bfloat16`
unpacks quantised weights; `--quantize` packs others. Prints both perplexities, and the share of equal most probable
tokens.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from providers.engines.process import platform

prepared = platform.prepare()

import mlx.core as mx  # noqa: E402
from mlx_lm.models.cache import make_prompt_cache  # noqa: E402

from providers.engines.language.loading import load_language_model  # noqa: E402
from providers.engines.process.weights import mlx_device  # noqa: E402
from providers.spec import ModelSpec  # noqa: E402


def measure(spec: ModelSpec, texts: list[str], tokens: int) -> tuple[float, mx.array]:
    """Perplexity, and the most probable token of every step and sequence."""
    loaded = load_language_model(spec, mlx_device(), lambda stage, fraction: None)
    encoded: list[list[int]] = [loaded.tokenizer.encode(text)[: tokens + 1] for text in texts]
    fed = mx.array([ids for ids in encoded if len(ids) == tokens + 1])
    caches: list[Any] = [layer.merge([layer] * len(fed)) for layer in make_prompt_cache(loaded.model)]
    total, best = mx.array(0.0), []
    for place in range(tokens):
        logits = loaded.model(fed[:, place : place + 1], cache=caches)[:, -1].astype(mx.float32)
        wanted = mx.take_along_axis(logits, fed[:, place + 1, None], axis=-1)[:, 0]
        total = total + (mx.logsumexp(logits, axis=-1) - wanted).sum()
        best.append(mx.argmax(logits, axis=-1))
        mx.eval(total, best[-1])
    return math.exp(total.item() / fed[:, 1:].size), mx.stack(best)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--model", default="embedded:smollm2-135m-instruct")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--quantize", type=int)
    parser.add_argument("--tokens", type=int, default=256)
    options = parser.parse_args()
    texts = [path.read_text() for path in options.texts]
    found = {}
    for step in ("mlx-lm", "own"):
        spec = ModelSpec(
            name="any", path=options.model, dtype=options.dtype, quantize=options.quantize, decode_step=step
        )
        found[step] = measure(spec, texts, options.tokens)
    (theirs, their_best), (ours, our_best) = found["mlx-lm"], found["own"]
    equal = (their_best == our_best).mean().item()
    print(f"perplexity: mlx-lm's step {theirs:.4f}, our own {ours:.4f}; same most probable token: {equal:.4f}")


if __name__ == "__main__":
    main()
