"""One-dimensional convolutions for the CPU: numpy over a BLAS, the wide ones with half of the multiplications.

MLX's CPU backend has no kernel for a dilated one but a plain loop.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Convolution"]

Array = NDArray[np.float32]

_BLOCK_BYTES = 1 << 16
"""Of one array in a block: a dozen fit the processor's cache."""
_TILE = 4
_POINTS = (0, 1, -1, 2, -2, 0.5, -0.5)
# What `_evaluated` leaves out of the inputs' polynomials, so that their coefficients are few and near 1.
_SCALES = (1, -2 / 9, -2 / 9, 1 / 90, 1 / 90, 32 / 45, 32 / 45)
_WEIGHT_POINTS = np.array(
    [[scale * point**power for power in range(_TILE)] for point, scale in zip(_POINTS, _SCALES, strict=True)]
)
_PAIRS = ((1.0, -4.25, 1.0), (0.25, -1.25, 1.0), (4.0, -5.0, 1.0))
"""What the points 1, 2 and 1/2, and their negatives, take of inputs that are two apart."""


class Convolution:
    """A convolution of stride 1 that keeps the length. Signals are (length, channels).

    Four neighbouring outputs of four taps are the middle of a product of polynomials, and cost 7 multiplications at 7
    points instead of 16 (Toom and Cook; Winograd's F(4, 4)): inputs and weights are evaluated at each point and
    multiplied, and the outputs interpolated. A wider convolution is several of four taps, `chunks`, each over the tile
    of inputs that follows. Where that costs more than it saves, a tile is one input, every tap is a chunk, and there is
    one point, the input itself.

    At each point `chunks` neighbouring tiles lie behind one another in memory. Taken from the start, they are a matrix
    of rows that do not overlap; taken from the second tile on, another; each is multiplied in place into every
    `chunks`-th tile of outputs. A dilated convolution is `dilation` such convolutions over the inputs that are
    `dilation` apart, one behind the other in the same matrices.

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
        """Of outputs in a phase of the dilation, and of inputs, of which some are there for a whole number of rows."""
        outputs = -(-length // (self._tile * self.dilation))
        return outputs, (-(-outputs // self._chunks) + 1) * self._chunks

    def layout(self, length: int) -> Array:
        """Where the inputs go: (inputs of a phase, dilation, channels), all zero. Input number n, the padding included,
        is at `[n // dilation, n % dilation]`."""
        _, tiles = self._tiles(length)
        return np.zeros((self.dilation, tiles * self._tile, self.channels), np.float32).transpose(1, 0, 2)

    def __call__(self, layout: Array, length: int) -> Array:
        """(length, out) of inputs in their layout."""
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
        """(points, tiles, out) of (points, tiles, in): each tile's own product, with those that follow it in a row."""
        chunks, channels, tiles = self._chunks, self.channels, points.shape[1]
        rows = tiles // chunks - 1  # what follows the last is another's, or nothing
        products = np.empty((len(points), rows + 1, chunks, self.outputs), np.float32)
        for inputs, weight, product in zip(points, self._weights, products, strict=True):
            flat = inputs.reshape(-1)
            for shift in range(chunks):
                start = shift * channels
                taken = flat[start : start + rows * chunks * channels].reshape(rows, chunks * channels)
                np.matmul(taken, weight, out=product[:rows, shift])
        return products


def _evaluated(tiles: Array) -> Array:
    """Seven inputs from the first of each tile (tiles, 4, channels) on at the points: (7, tiles, channels).

    The last tile has no neighbour, and is zero. The rows are those of the transposed inverse Vandermonde matrix.
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
    """The outputs (tiles, 4, channels) of products at the points (7, tiles, channels)."""
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
    """Of a block that fits the processor's cache together with the dozen others of its size that are in use."""
    return max(1, _BLOCK_BYTES // (channels * 4))
