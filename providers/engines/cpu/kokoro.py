"""The residual blocks of Kokoro's vocoder on the CPU, in numpy. The vocoder spends its time in them.

MLX: its CPU backend computes a dilated convolution in a plain loop, its sine takes ten times as long as numpy's, and
every operator reads and writes memory of its own.
Here: the norm and the activation write the inputs of a convolution where it reads them, block by block in the
processor's cache, and blocks run on several threads. Convolutions are those of `conv1d_toom_cook`.
Gain: with them a sentence takes 0.86 of the time of onnxruntime's int8 export (`docs/performance.md`).
Delete when: MLX has a fast dilated convolution and a vectorised sine on a CPU; `kokoro.layers.SnakeBlock` computes the
same in MLX.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from providers.engines.cpu.conv1d import fold_weight_norm
from providers.engines.cpu.conv1d_toom_cook import Convolution
from providers.engines.process import platform

__all__ = ["CPUBlocks", "CPUSnakeBlock"]

Array = NDArray[np.float32]

_BLOCK_BYTES = 1 << 17
_EPS = 1e-5


class Moments(Protocol):
    """Statistics that several parts of a sentence share: those of `kokoro.layers`."""

    def including(self, norm: object, count: int, mean: Any, variance: Any) -> tuple[Any, Any]: ...


class _Half:
    """Half of a pair of convolutions: normalise by the style, activate, convolve."""

    def __init__(self, norm: Any, alpha: mx.array, conv: Any) -> None:
        self._style_weight, self._style_bias = np.array(norm.fc.weight.T), np.array(norm.fc.bias)
        self._alpha = np.array(alpha).reshape(-1)
        self._inverse = 1 / self._alpha
        self.conv = Convolution(np.array(fold_weight_norm(conv.weight_v, conv.weight_g)), conv.dilation)
        self.bias = np.array(conv.bias)

    def __call__(self, x: Array, style: Array, moments: Moments | None = None) -> Array:
        """The convolution without its bias."""
        length = x.shape[0]
        scale, shift = self._affine(x, style, moments)
        layout = self.conv.layout(length)
        for block, rows in _blocks(x, self.conv.dilation):
            y = block * scale
            y += shift
            wave = y * self._alpha
            np.sin(wave, out=wave)
            wave *= wave
            wave *= self._inverse
            wave += y
            self._place(layout, wave, rows)
        return self.conv(layout, length)

    def _affine(self, x: Array, style: Array, moments: Moments | None) -> tuple[Array, Array]:
        gamma, beta = np.split(style @ self._style_weight + self._style_bias, 2)
        ones = np.ones(x.shape[0], np.float32)
        mean = ones @ x / x.shape[0]
        squares = np.zeros_like(mean)
        for block, _ in _blocks(x, 1):
            centred = block - mean
            centred *= centred
            squares += ones[: block.shape[0]] @ centred
        variance = squares / x.shape[0]
        if moments is not None:
            mean, variance = moments.including(self, x.shape[0], mean, variance)
        scale = (1 + gamma) / np.sqrt(variance + _EPS)
        return scale, beta - mean * scale

    def _place(self, layout: Array, block: Array, start: int) -> None:
        """Write the inputs from `start` on where the convolution reads them."""
        dilation, first = self.conv.dilation, start + self.conv.padding
        head = min(-first % dilation, block.shape[0])
        if head:
            layout[first // dilation, first % dilation :][:head] = block[:head]
        at = -(-first // dilation)
        whole = (block.shape[0] - head) // dilation
        tail = head + whole * dilation
        layout[at : at + whole] = block[head:tail].reshape(whole, dilation, self.conv.channels)
        if tail < block.shape[0]:
            layout[at + whole, : block.shape[0] - tail] = block[tail:]


class CPUSnakeBlock:
    """mlx-audio's `AdaINResBlock1`: three pairs of convolutions with the snake activation."""

    def __init__(self, module: Any) -> None:
        first = zip(module.adain1, module.alpha1, module.convs1, strict=True)
        second = zip(module.adain2, module.alpha2, module.convs2, strict=True)
        self._pairs = [(_Half(*one), _Half(*two)) for one, two in zip(first, second, strict=True)]

    def __call__(self, x: Array, style: Array, moments: Moments | None = None) -> Array:
        """(length, channels) → the same; style (128,). May run on any thread, and on several at the same time."""
        x = x.copy()
        for first, second in self._pairs:
            # The first convolution's bias is left out: the second norm would remove it.
            y = second(first(x, style, moments), style, moments)
            for block, start in _blocks(x, 1):
                block += y[start : start + block.shape[0]]
                block += second.bias
        return x


class CPUBlocks:
    """Runs blocks on threads of their own: numpy and the BLAS release the GIL."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(platform.cpu_count(), thread_name_prefix="vocoder")

    def make(self, module: Any) -> CPUSnakeBlock:
        return CPUSnakeBlock(module)

    def start(
        self, block: CPUSnakeBlock, x: mx.array, style: mx.array, moments: Moments | None
    ) -> Callable[[], mx.array]:
        """Start a block. Returns a function that waits for its result. MLX's arrays stay on the caller's thread."""
        future = self._threads.submit(block, np.array(x), np.array(style)[0], moments)
        return lambda: mx.array(future.result())


def _blocks(x: Array, multiple: int) -> Iterator[tuple[Array, int]]:
    """Views of rows that fit into the processor's cache, each with the number of its first row."""
    rows = max(1, _BLOCK_BYTES // (x.shape[1] * x.itemsize) // multiple) * multiple
    for start in range(0, x.shape[0], rows):
        yield x[start : start + rows], start
