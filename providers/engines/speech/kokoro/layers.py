"""Kokoro's layers on signals of (length, channels), built from mlx-audio's modules and their weights.

mlx-audio's own forward pass computes every weight norm anew, runs both directions of an LSTM one after the other, and
moves axes around every convolution. These layers give the same numbers to float32 rounding.
"""

from __future__ import annotations

import math
from typing import Any

import mlx.core as mx

from providers.engines.cpu.conv1d import Conv1d, Depthwise2x, fold_weight_norm

__all__ = ["LSTM", "AdaIN", "Moments", "ResBlock", "SnakeBlock", "leaky", "plain_conv"]

_EPS = 1e-5


def leaky(x: mx.array, slope: float) -> mx.array:
    return mx.maximum(x, x * slope)


def plain_conv(module: Any) -> Conv1d:
    """mlx-audio's `ConvWeighted` with its weight norm folded."""
    return Conv1d(
        fold_weight_norm(module.weight_v, module.weight_g),
        module.bias if "bias" in module else None,
        stride=module.stride,
        padding=module.padding,
        dilation=module.dilation,
    )


class Moments:
    """Means and variances over all that was decoded of a sentence so far, by norm.

    Each norm of a part then has the scale of the parts before: by its own, a quiet end would be as loud as the rest.
    Works on arrays of MLX and of numpy. Norms may be used on several threads, each on one.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, Any, Any]] = {}

    def including(self, norm: object, count: int, mean: Any, variance: Any) -> tuple[Any, Any]:
        """Add `count` values per channel. Returns mean and variance over all that this norm has seen."""
        if (seen := self._seen.get(id(norm))) is not None:
            share = count / (seen[0] + count)
            apart = mean - seen[1]
            mean = seen[1] + apart * share
            variance = seen[2] * (1 - share) + variance * share + apart * apart * (share * (1 - share))
            count += seen[0]
        self._seen[id(norm)] = count, mean, variance
        return mean, variance


class AdaIN:
    """Instance normalisation whose scale and shift come from the style."""

    def __init__(self, module: Any) -> None:
        self._weight, self._bias = module.fc.weight, module.fc.bias

    def affine(self, x: mx.array, style: mx.array, moments: Moments | None = None) -> tuple[mx.array, mx.array]:
        """The scale and the shift, both (channels,), for x (length, channels) and style (1, width)."""
        gamma, beta = mx.split(mx.addmm(self._bias, style, self._weight.T)[0], 2)
        mean, variance = mx.mean(x, axis=0), mx.var(x, axis=0)
        if moments is not None:
            mean, variance = moments.including(self, x.shape[0], mean, variance)
        scale = (1 + gamma) * mx.rsqrt(variance + _EPS)
        return scale, beta - mean * scale

    def __call__(self, x: mx.array, style: mx.array, moments: Moments | None = None) -> mx.array:
        scale, shift = self.affine(x, style, moments)
        return x * scale + shift


class ResBlock:
    """mlx-audio's `AdainResBlk1d`: two convolutions beside a shortcut. It may double the length."""

    def __init__(self, module: Any) -> None:
        self._norms = AdaIN(module.norm1), AdaIN(module.norm2)
        self._convs = plain_conv(module.conv1), plain_conv(module.conv2)
        self._shortcut = plain_conv(module.conv1x1) if module.learned_sc else None
        self.doubles = module.upsample_type != "none"
        if self.doubles:
            pool = module.pool
            self._pool = Depthwise2x(fold_weight_norm(pool.weight_v, pool.weight_g), pool.bias)

    def __call__(self, x: mx.array, style: mx.array, moments: Moments | None = None) -> mx.array:
        y = leaky(self._norms[0](x, style, moments), 0.2)
        if self.doubles:
            x = mx.repeat(x, 2, axis=0)
            y = self._pool(y)
        y = self._convs[0](y)
        y = self._convs[1](leaky(self._norms[1](y, style, moments), 0.2))
        if self._shortcut is not None:
            x = self._shortcut(x)
        return (x + y) * (1 / math.sqrt(2))


class SnakeBlock:
    """mlx-audio's `AdaINResBlock1`: three pairs of convolutions with the snake activation."""

    def __init__(self, module: Any) -> None:
        self._layers = [
            (AdaIN(norm), alpha.reshape(-1), plain_conv(conv))
            for norms in zip(
                zip(module.adain1, module.alpha1, module.convs1, strict=True),
                zip(module.adain2, module.alpha2, module.convs2, strict=True),
                strict=True,
            )
            for norm, alpha, conv in norms
        ]

    def __call__(self, x: mx.array, style: mx.array, moments: Moments | None = None) -> mx.array:
        for first, second in zip(self._layers[::2], self._layers[1::2], strict=True):
            x = x + self._half(self._half(x, style, moments, *first), style, moments, *second)
        return x

    @staticmethod
    def _half(
        x: mx.array, style: mx.array, moments: Moments | None, norm: AdaIN, alpha: mx.array, conv: Conv1d
    ) -> mx.array:
        y = norm(x, style, moments)
        return conv(y + mx.square(mx.sin(y * alpha)) * (1 / alpha))


class LSTM:
    """mlx-audio's bidirectional `LSTM`, with both directions in one step."""

    def __init__(self, module: Any) -> None:
        self._to_gates = module.Wx_forward.T, module.Wx_backward.T
        self._bias = (
            module.bias_ih_forward + module.bias_hh_forward,
            module.bias_ih_backward + module.bias_hh_backward,
        )
        self._recurrent = mx.contiguous(mx.stack([module.Wh_forward.T, module.Wh_backward.T]))
        self._size = int(module.hidden_size)

    def __call__(self, x: mx.array) -> mx.array:
        """(length, in) → (length, 2 · hidden)."""
        size = self._size
        gates = mx.stack(
            [
                mx.addmm(self._bias[0], x, self._to_gates[0]),
                mx.addmm(self._bias[1], x, self._to_gates[1])[::-1],
            ],
            axis=1,
        )[:, :, None]
        hidden = cell = mx.zeros((2, 1, size))
        outputs = []
        for step in range(x.shape[0]):
            added = mx.addmm(gates[step], hidden, self._recurrent)
            opened = mx.sigmoid(added)
            cell = opened[..., size : 2 * size] * cell + opened[..., :size] * mx.tanh(added[..., 2 * size : 3 * size])
            hidden = opened[..., 3 * size :] * mx.tanh(cell)
            outputs.append(hidden)
        stacked = mx.stack(outputs)[:, :, 0]
        return mx.concatenate([stacked[:, 0], stacked[::-1, 1]], axis=-1)
