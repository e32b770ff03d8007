"""One-dimensional convolutions in MLX that are fast on every device. Signals are (length, channels), without a batch.

MLX: its CPU backend computes transposed convolutions, those with groups too, in a plain loop of about 1 GFLOP/s.
Here: `ConvTranspose1d` is one matrix product and a sum of overlapping parts, `Depthwise2x` a few multiplications of
whole signals; `Conv1d` is MLX's own. Dilated convolutions, as slow in MLX, are in `conv1d_toom_cook`.
Gain: a BLAS computes the product at about 100 GFLOP/s.
Delete when: MLX's `conv_transpose1d` is as fast as a matrix product of its size on a CPU.
"""

from __future__ import annotations

import mlx.core as mx

__all__ = ["Conv1d", "ConvTranspose1d", "Depthwise2x", "fold_weight_norm"]


def fold_weight_norm(direction: mx.array, magnitude: mx.array) -> mx.array:
    """The plain weight of a weight-normalised convolution, both (out, …, …) and (out, 1, 1)."""
    norm = mx.sqrt(mx.sum(direction * direction, axis=(1, 2), keepdims=True))
    return direction / (norm + 1e-7) * magnitude


class Conv1d:
    """MLX's own convolution, which is fast on every device unless it is dilated.

    Args:
        weight: (out, width, in).
        bias: (out,).
    """

    def __init__(
        self, weight: mx.array, bias: mx.array | None, *, stride: int = 1, padding: int = 0, dilation: int = 1
    ) -> None:
        self._weight, self._bias = weight, bias
        self._stride, self._padding, self._dilation = stride, padding, dilation

    def __call__(self, x: mx.array) -> mx.array:
        """(length, in) → (length', out)."""
        y = mx.conv1d(x[None], self._weight, self._stride, self._padding, self._dilation)[0]
        return y if self._bias is None else y + self._bias


class ConvTranspose1d:
    """A transposed convolution whose width is a multiple of its stride: one product, then a sum of overlapping parts.

    Args:
        weight: (in, width, out).
        bias: (out,).
    """

    def __init__(self, weight: mx.array, bias: mx.array, *, stride: int, padding: int) -> None:
        self._in, self._width, self._out = weight.shape
        if self._width % stride:
            raise ValueError(f"a width of {self._width} is not a multiple of the stride {stride}")
        self._stride, self._padding = stride, padding
        self._bias = bias
        self._weight = mx.contiguous(weight.reshape(self._in, -1))

    def __call__(self, x: mx.array) -> mx.array:
        """(length, in) → ((length - 1) · stride + width - 2 · padding, out)."""
        length, parts = x.shape[0], self._width // self._stride
        y = (x @ self._weight).reshape(length, parts, self._stride, self._out)
        summed = mx.zeros((length + parts - 1, self._stride, self._out))
        for part in range(parts):
            summed = summed + mx.pad(y[:, part], [(part, parts - 1 - part), (0, 0), (0, 0)])
        flat = summed.reshape((length + parts - 1) * self._stride, self._out)
        return flat[self._padding : flat.shape[0] - self._padding] + self._bias


class Depthwise2x:
    """PyTorch's ConvTranspose1d of width 3, stride 2, padding 1, output_padding 1, one group per channel.

    It doubles the length.

    Args:
        weight: (channels, 3, 1).
        bias: (channels,).
    """

    def __init__(self, weight: mx.array, bias: mx.array) -> None:
        self._taps = [mx.contiguous(weight[:, tap, 0]) for tap in range(3)]
        self._bias = bias

    def __call__(self, x: mx.array) -> mx.array:
        """(length, channels) → (2 · length, channels)."""
        following = mx.pad(x[1:], [(0, 1), (0, 0)])
        even = x * self._taps[1]
        odd = x * self._taps[2] + following * self._taps[0]
        return mx.stack([even, odd], axis=1).reshape(2 * x.shape[0], x.shape[1]) + self._bias
