"""Functions of MLX in the place of the CUDA kernels, so that layers that use them run on every device."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest
from mlx import nn
from mlx_lm.models import gemma, gemma3_text, llama, qwen2, qwen3
from mlx_lm.models.cache import BatchKVCache

from providers.engines.decode import cuda_attention, cuda_kernels, cuda_prefill, layers
from providers.engines.decode.attention import grouped
from providers.engines.decode.step import prepare_decode_step
from providers.engines.language import loading

MODULES = (gemma, gemma3_text, llama, qwen2, qwen3)


def restore_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo, when the test ends, what a decode step of our own replaces in mlx-lm."""
    monkeypatch.setattr(BatchKVCache, "make_mask", BatchKVCache.make_mask)
    for module in MODULES:
        monkeypatch.setattr(module, "scaled_dot_product_attention", module.scaled_dot_product_attention)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put functions of MLX in the place of the CUDA kernels, for heads of 16 numbers in float32."""
    for kernels in (cuda_attention, cuda_prefill):
        monkeypatch.setattr(kernels, "_TYPES", (mx.float32,))
        monkeypatch.setattr(kernels, "_WIDTHS", (16,))
    monkeypatch.setattr(layers, "_TYPES", (mx.float32,))
    monkeypatch.setattr(cuda_attention, "attend", attend)
    monkeypatch.setattr(cuda_attention, "_BLOCKS", 4)
    monkeypatch.setattr(cuda_prefill, "attend", attend_prompt)
    for function in (rotate, add_and_norm, gate):
        monkeypatch.setattr(cuda_kernels, function.__name__, function)


def load_as_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make engines load models with the decode step of CUDA, on the stand-ins."""
    restore_after(monkeypatch)
    install(monkeypatch)
    monkeypatch.setattr(loading, "use_fast_exponentials", lambda model, device: None)
    monkeypatch.setattr(
        loading, "prepare_decode_step", lambda model, device, choice: prepare_decode_step(model, "cuda", "own")
    )


def attend(queries: mx.array, keys: mx.array, values: mx.array, starts: mx.array, scale: float) -> mx.array:
    seen = (mx.arange(keys.shape[2]) >= starts[:, None])[:, None, None]
    return grouped(queries, keys, values, mx.where(seen, 0.0, -1e30), scale)


def attend_prompt(
    queries: mx.array, keys: mx.array, values: mx.array, starts: mx.array | None, scale: float
) -> mx.array:
    mask: Any = "causal"
    if starts is not None:
        places, count = mx.arange(keys.shape[2]), queries.shape[2]
        mask = (places >= starts[:, None, None, None]) & (places <= places[-count:, None])
    return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)


def rotate(
    joined: mx.array, offset: mx.array, periods: mx.array, norms: Any, epsilon: float, heads: int, shared: int
) -> tuple[mx.array, ...]:
    parts = joined.reshape(len(joined), 1, heads + 2 * shared, -1)
    queries, keys, values = mx.split(parts, [heads, heads + shared], axis=2)
    if norms is not None:
        queries, keys = (mx.fast.rms_norm(x, norm, epsilon) for x, norm in zip((queries, keys), norms, strict=True))
    turned = [
        mx.fast.rope(
            x.swapaxes(1, 2), x.shape[-1], traditional=False, base=None, scale=1.0, offset=offset, freqs=periods
        )
        for x in (queries, keys)
    ]
    return (*turned, values.swapaxes(1, 2))


def add_and_norm(x: mx.array, y: mx.array, weight: mx.array, epsilon: float) -> tuple[mx.array, mx.array]:
    return x + y, mx.fast.rms_norm(x + y, weight, epsilon)


def gate(joined: mx.array) -> mx.array:
    gates, inputs = mx.split(joined, 2, axis=-1)
    return nn.silu(gates) * inputs
