"""Dilated one-dimensional convolutions for the CPU in numpy, the wide ones with half of the multiplications.

MLX: its CPU backend computes a dilated convolution in a plain loop of about 1 GFLOP/s.
Here: matrix products by the BLAS. Wide convolutions are computed after Toom and Cook, which costs a digit of precision:
samples of speech differ by 1.5e-6 at most, a twentieth of a step of 16 bits.
Gain: 7 multiplications instead of 16 for four outputs of four taps. Of the 1.5 s of sound that Kokoro makes of two
words, the engine computes 2.1 s of processor time instead of 2.85 (`docs/performance.md`).
Delete when: MLX's `conv1d` with dilation 3 and 5 is as fast as a matrix product of half its size on a CPU.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Convolution"]

Array = NDArray[np.float32]

_BLOCK_BYTES = 1 << 16
"""Of one array in a block: a dozen of them fit into the processor's cache."""
_TILE = 4
_POINTS = (0, 1, -1, 2, -2, 0.5, -0.5)
# Factors that `_evaluated` leaves out of the inputs' polynomials, so that their coefficients are few and near 1.
_SCALES = (1, -2 / 9, -2 / 9, 1 / 90, 1 / 90, 32 / 45, 32 / 45)
_WEIGHT_POINTS = np.array(
    [[scale * point**power for power in range(_TILE)] for point, scale in zip(_POINTS, _SCALES, strict=True)]
)
_PAIRS = ((1.0, -4.25, 1.0), (0.25, -1.25, 1.0), (4.0, -5.0, 1.0))
"""Coefficients of inputs that are two apart, at the points 1, 2 and 1/2 and their negatives."""


class Convolution:
    """A convolution of stride 1 that keeps the length. Signals are (length, channels).

    Four neighbouring outputs of four taps are the middle of a product of polynomials. They cost 7 multiplications, at 7
    points, instead of 16 (Toom and Cook; Winograd's F(4, 4)): inputs and weights are evaluated at each point and
    multiplied, and the outputs interpolated. A wider convolution is the sum of several convolutions of four taps,
    `chunks`, each over the tile of inputs that follows. Where that costs more than it saves, a tile is one input, every
    tap is a chunk, and the only point is the input itself.

    At each point, `chunks` neighbouring tiles lie one behind the other in memory. From the first tile on, they form a
    matrix of rows that do not overlap; from the second tile on, another matrix. Each matrix is multiplied in place into
    every `chunks`-th tile of outputs. A dilated convolution is `dilation` such convolutions over the inputs that are
    `dilation` apart, one behind the other in the same matrices, so that the BLAS packs the weights once.

    Args:
        weight: (out, width, in), an odd width.
    """

    def __init__(self, weight: Array, dilation: int) -> None:
        self.outputs, self.width, self.channels = (int(size) for size in weight.shape)
        self.dilation = dilation
        self.padding = dilation * (self.width - 1) // 2
        self._tile, points = (_TILE, _WEIGHT_POINTS) if self.width > _TILE else (1, np.ones((1, 1)))
        self._chunks = -(-self.width // self._tile)
        taps = np.zeros((self.outputs, self._chunks, self._tile, self.channels))
        taps.reshape(self.outputs, -1, self.channels)[:, : self.width] = weight
        at_points = np.tensordot(points, taps, (1, 2)).astype(np.float32)  # (points, out, chunks, in)
        matrices = at_points.reshape(len(points), self.outputs, -1).transpose(0, 2, 1)
        self._weights = np.ascontiguousarray(matrices)

    def _tiles(self, length: int) -> tuple[int, int]:
        """Tiles of outputs per phase of the dilation, and tiles of inputs, padded to a whole number of rows."""
        outputs = -(-length // (self._tile * self.dilation))
        return outputs, (-(-outputs // self._chunks) + 1) * self._chunks

    def layout(self, length: int) -> Array:
        """Zeros to write the inputs to, (inputs of a phase, dilation, channels).

        Input number n, counted from the padding's first, belongs at `[n // dilation, n % dilation]`.
        """
        _, tiles = self._tiles(length)
        return np.zeros((self.dilation, tiles * self._tile, self.channels), np.float32).transpose(1, 0, 2)

    def __call__(self, layout: Array, length: int) -> Array:
        """Inputs in their layout → (length, out)."""
        outputs, tiles = self._tiles(length)
        inputs = layout.transpose(1, 0, 2).reshape(self.dilation * tiles, self._tile, self.channels)
        points = inputs.transpose(1, 0, 2) if self._tile == 1 else _evaluated(inputs)
        products = self._multiplied(points).reshape(len(points), self.dilation, tiles, self.outputs)
        y = np.empty((outputs, self._tile, self.dilation, self.outputs), np.float32)
        for phase in range(self.dilation):
            if self._tile == 1:
                y[:, 0, phase] = products[0, phase, :outputs]
            else:
                _interpolate(products[:, phase, :outputs], y[:, :, phase])
        return y.reshape(-1, self.outputs)[:length]

    def _multiplied(self, points: Array) -> Array:
        """(points, tiles, in) → (points, tiles, out): the product of each tile and those that follow it in its row."""
        chunks, channels, tiles = self._chunks, self.channels, points.shape[1]
        rows = tiles // chunks - 1  # the last row's tiles are followed by another phase's, or by nothing
        products = np.empty((len(points), rows + 1, chunks, self.outputs), np.float32)
        for inputs, weight, product in zip(points, self._weights, products, strict=True):
            flat = inputs.reshape(-1)
            for shift in range(chunks):
                start = shift * channels
                taken = flat[start : start + rows * chunks * channels].reshape(rows, chunks * channels)
                np.matmul(taken, weight, out=product[:rows, shift])
        return products


def _evaluated(tiles: Array) -> Array:
    """The polynomial of seven inputs from the first of each tile (tiles, 4, channels) on, at the seven points.

    Returns (7, tiles, channels). The last tile has no neighbour and is zero. The rows are those of the transposed
    inverse Vandermonde matrix.
    """
    points = np.zeros((len(_POINTS), tiles.shape[0], tiles.shape[2]), np.float32)
    for start in range(0, tiles.shape[0] - 1, step := _rows(tiles.shape[2])):
        end = min(start + step, tiles.shape[0] - 1)
        x0, x1, x2, x3 = (tiles[start:end, at] for at in range(4))
        x4, x5, x6 = (tiles[start + 1 : end + 1, at] for at in range(3))
        zero, *pairs = points[:, start:end]
        np.subtract(x4, x2, out=zero)
        zero *= 5.25
        zero += x0
        zero -= x6
        for plus, minus, (a, b, c), factor in zip(pairs[::2], pairs[1::2], _PAIRS, (1.0, 2.0, 0.5), strict=True):
            even, odd = x2 * a, x1 * (a * factor)
            even += x4 * b
            odd += x3 * (b * factor)
            even += x6 * c
            odd += x5 * (c * factor)
            np.add(even, odd, out=plus)
            np.subtract(even, odd, out=minus)
    return points


def _interpolate(products: Array, y: Array) -> None:
    """Products at the points (7, tiles, channels) → outputs (tiles, 4, channels), written to `y`."""
    for start in range(0, products.shape[1], step := _rows(products.shape[2])):
        zero, one, minus_one, two, minus_two, half, minus_half = products[:, start : start + step]
        even, odd = one + minus_one, one - minus_one
        even_two, odd_two = two + minus_two, two - minus_two
        even_half, odd_half = half + minus_half, half - minus_half
        y0, y1, y2, y3 = (y[start : start + step, at] for at in range(4))
        np.add(zero, even, out=y0)
        y0 += even_two
        y0 += even_half
        even_two *= 4.0
        even_half *= 0.25
        np.add(even, even_two, out=y2)
        y2 += even_half
        odd_two *= 2.0
        odd_half *= 0.5
        np.add(odd, odd_two, out=y1)
        y1 += odd_half
        odd_two *= 4.0
        odd_half *= 0.25
        np.add(odd, odd_two, out=y3)
        y3 += odd_half


def _rows(channels: int) -> int:
    """Rows of a block, of which a dozen fit into the processor's cache."""
    return max(1, _BLOCK_BYTES // (channels * 4))
