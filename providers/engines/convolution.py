"""One-dimensional convolutions as matrix products, for the CPU.

MLX's CPU backend runs dilated and transposed convolutions through a loop of about 1 GFLOP/s; a BLAS does 200. On every
other device MLX's own operators are used. Signals are (length, channels), without a batch.
"""

from __future__ import annotations

import mlx.core as mx

__all__ = ["Conv1d", "ConvTranspose1d", "Depthwise2x", "fold_weight_norm"]


def fold_weight_norm(direction: mx.array, magnitude: mx.array) -> mx.array:
    """The plain weight of a weight-normalised convolution, both (out, …, …) and (out, 1, 1)."""
    norm = mx.sqrt(mx.sum(direction * direction, axis=(1, 2), keepdims=True))
    return direction / (norm + 1e-7) * magnitude


class Conv1d:
    """A convolution that keeps its weight in the layout its device is fast with.

    Args:
        weight: (out, width, in).
        bias: (out,).
        on_cpu: multiply matrices instead of calling `mx.conv1d`.
    """

    def __init__(
        self,
        weight: mx.array,
        bias: mx.array | None,
        *,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        on_cpu: bool,
    ) -> None:
        self._out, self._width, self._in = weight.shape
        self._bias = bias
        self._stride, self._padding, self._dilation = stride, padding, dilation
        self._as_product = on_cpu and stride == 1
        # (width · in, out), contiguous: what every product below multiplies with.
        flat = weight.reshape(self._out, -1)
        self._weight = mx.contiguous(flat.T) if self._as_product else weight

    @property
    def parameters(self) -> list[mx.array]:
        return [self._weight] if self._bias is None else [self._weight, self._bias]

    def __call__(self, x: mx.array) -> mx.array:
        """(length, in) → (length', out)."""
        y = self._product(x) if self._as_product else self._native(x)
        return y if self._bias is None else y + self._bias

    def _native(self, x: mx.array) -> mx.array:
        return mx.conv1d(x[None], self._weight, self._stride, self._padding, self._dilation)[0]

    def _product(self, x: mx.array) -> mx.array:
        """Rows of inputs times the weight, where no row is ever copied.

        `width` neighbouring inputs lie behind one another in memory. Taken from the start, they are one matrix of rows
        that do not overlap; taken from the second input on, another; and so on, `width` of them. A dilated convolution
        is `dilation` such convolutions over the inputs that are `dilation` apart.
        """
        if self._width == 1:
            return x @ self._weight
        length, width, dilation, channels = x.shape[0], self._width, self._dilation, self._in
        outputs = length + 2 * self._padding - dilation * (width - 1)
        rows = -(-outputs // (width * dilation))
        # Inputs of one phase: `rows` matrices rows of `width` inputs, and the shifts reach `width - 1` further.
        phase = (rows + 1) * width - 1
        short = phase * dilation - self._padding - length
        padded = mx.pad(x, ((self._padding, max(short, 0)), (0, 0)))
        if short < 0:
            padded = padded[: phase * dilation]
        if dilation > 1:
            padded = mx.contiguous(padded.reshape(phase, dilation, channels).transpose(1, 0, 2))
        else:
            padded = mx.contiguous(padded)
        strides = (phase * channels, channels, width * channels, 1)
        taken = mx.as_strided(padded, (dilation, width, rows, width * channels), strides)
        y = taken @ self._weight
        # Output number (row · width + shift) · dilation + phase.
        return y.transpose(2, 1, 0, 3).reshape(rows * width * dilation, self._out)[:outputs]


class ConvTranspose1d:
    """A transposed convolution whose width is a multiple of its stride: one product, then an overlapping sum.

    Args:
        weight: (in, width, out).
        bias: (out,).
    """

    def __init__(self, weight: mx.array, bias: mx.array, *, stride: int, padding: int) -> None:
        self._in, self._width, self._out = weight.shape
        if self._width % stride:
            raise ValueError(f"a width of {self._width} is no multiple of the stride {stride}")
        self._stride, self._padding = stride, padding
        self._bias = bias
        self._weight = mx.contiguous(weight.reshape(self._in, -1))

    @property
    def parameters(self) -> list[mx.array]:
        return [self._weight, self._bias]

    def __call__(self, x: mx.array) -> mx.array:
        """(length, in) → ((length - 1) · stride + width - 2 · padding, out)."""
        length, parts = x.shape[0], self._width // self._stride
        y = (x @ self._weight).reshape(length, parts, self._stride, self._out)
        summed = sum(mx.pad(y[:, part], ((part, parts - 1 - part), (0, 0), (0, 0))) for part in range(parts))
        flat = mx.array(summed).reshape((length + parts - 1) * self._stride, self._out)
        return flat[self._padding : flat.shape[0] - self._padding] + self._bias


class Depthwise2x:
    """PyTorch's ConvTranspose1d(width 3, stride 2, padding 1, output_padding 1, one group a channel): doubles the length.

    Args:
        weight: (channels, 3, 1).
        bias: (channels,).
    """

    def __init__(self, weight: mx.array, bias: mx.array) -> None:
        self._taps = [mx.contiguous(weight[:, tap, 0]) for tap in range(3)]
        self._bias = bias

    @property
    def parameters(self) -> list[mx.array]:
        return [*self._taps, self._bias]

    def __call__(self, x: mx.array) -> mx.array:
        """(length, channels) → (2 · length, channels)."""
        following = mx.pad(x[1:], ((0, 1), (0, 0)))
        even = x * self._taps[1]
        odd = x * self._taps[2] + following * self._taps[0]
        return mx.stack([even, odd], axis=1).reshape(2 * x.shape[0], x.shape[1]) + self._bias
