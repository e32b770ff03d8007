"""Drawing tokens and noting log-probabilities as one CUDA kernel each, with a block of threads per row of logits.

MLX: `kernels.py` takes 20 operations and more, some of which sort the vocabulary. On an H200, launching the operations
of a step takes the host longer than computing them takes the device.
Gain: `docs/performance.md`, "Mixed sampling".
Delete when: MLX draws from rows with different filters in as few kernels.

A filter keeps the logits from a least one on. That one is found without sorting: a pass over the row sums the
probability above a value in the middle, and the search goes on in one half, from the nearest logit there.
Sums are taken in a fixed order, so that a row draws the same token in every batch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from providers.engines.sampling.settings import Settings

__all__ = ["CudaDrawing", "available", "note"]

_THREADS = 1024
_GREEDY = 0.0
"""In place of the inverse of a temperature."""
_ALL = 2.0
"""A share of all probability that no sum reaches."""
_TOPS = (5, 20)
"""Numbers of likeliest tokens. With a kernel for every number, requests would wait until theirs is built."""

_HEADER = """
#define INFINITE __int_as_float(0x7f800000)
using Placed = unsigned long long;

// Floats as integers of the same order. NaN is ruled out like minus infinity.
constexpr unsigned RULED_OUT = 0x007fffffu;

__device__ inline unsigned key_of(float x) {
  if (!(x == x)) return RULED_OUT;
  const unsigned bits = __float_as_uint(x + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ inline float value_of(unsigned key) {
  return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

struct AddUp {
  template <typename V> __device__ static V join(V a, V b) { return a + b; }
};
struct Larger {
  template <typename V> __device__ static V join(V a, V b) { return a > b ? a : b; }
};
struct Smaller {
  template <typename V> __device__ static V join(V a, V b) { return a < b ? a : b; }
};

// Of all threads of a block, for all of them. `shared`: a place per warp.
template <typename Op, typename V>
__device__ inline V of_block(V value, V* shared, V nothing) {
  for (int step = 16; step > 0; step /= 2) value = Op::join(value, __shfl_xor_sync(0xffffffffu, value, step));
  __syncthreads();
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  value = threadIdx.x % 32 < blockDim.x / 32 ? shared[threadIdx.x % 32] : nothing;
  for (int step = 16; step > 0; step /= 2) value = Op::join(value, __shfl_xor_sync(0xffffffffu, value, step));
  return value;
}

// Calls f(logit, place) for a thread's share of a row. Several loads are on their way together.
template <int COUNT, int THREADS, typename T, typename F>
__device__ inline void each(const T* line, F f) {
#pragma unroll 8
  for (int i = threadIdx.x; i < COUNT; i += THREADS) f(static_cast<float>(line[i]), i);
}

// The largest logit below `limit` and the first place that has it, as a key above the place's complement.
template <int COUNT, int THREADS, typename T>
__device__ inline Placed largest(const T* line, Placed limit, Placed* shared) {
  Placed found = 0;
  each<COUNT, THREADS>(line, [&](float x, int i) {
    const Placed pair = static_cast<Placed>(key_of(x)) << 32 | (0xffffffffu - i);
    if (pair < limit && pair > found) found = pair;
  });
  return of_block<Larger>(found, shared, static_cast<Placed>(0));
}

__device__ inline int place_of(Placed pair) { return static_cast<int>(0xffffffffu - static_cast<unsigned>(pair)); }

// The least key above which, up to `upper`, less than `mass` and fewer than `most` logits are.
template <int COUNT, int THREADS, typename T>
__device__ unsigned least_key(const T* line, unsigned upper, float top, float mass, float most, Placed* pairs) {
  float* floats = reinterpret_cast<float*>(pairs);
  unsigned* keys = reinterpret_cast<unsigned*>(pairs);
  unsigned low = RULED_OUT, high = upper;
  while (low < high) {
    const unsigned middle = low + (high - low) / 2;
    float sum = 0.0f, number = 0.0f;
    unsigned below = RULED_OUT, above = upper;
    each<COUNT, THREADS>(line, [&](float x, int) {
      const unsigned key = key_of(x);
      if (key <= middle) {
        below = below > key ? below : key;
      } else if (key <= upper) {
        sum += __expf(x - top);
        number += 1.0f;
        above = above < key ? above : key;
      }
    });
    sum = of_block<AddUp>(sum, floats, 0.0f);
    number = of_block<AddUp>(number, floats, 0.0f);
    below = of_block<Larger>(below, keys, RULED_OUT);
    above = of_block<Smaller>(above, keys, upper);
    if (sum < mass && number < most) {
      high = below;
    } else {
      low = above;
    }
  }
  return high;
}
"""

_DRAW = """
__shared__ Placed pairs[32];
float* floats = reinterpret_cast<float*>(pairs);
unsigned* keys = reinterpret_cast<unsigned*>(pairs);
const int row = blockIdx.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
const T* line = logits + static_cast<int64_t>(row) * COUNT;
const float* rule = rules + (SAME ? 0 : row * 4);
const float inverse = rule[0], floor = rule[1], share = rule[2], top_k = rule[3];
const float number = chances[2 * row], excluded = chances[2 * row + 1];
const Placed likeliest = largest<COUNT, THREADS>(line, ~static_cast<Placed>(0), pairs);
unsigned upper = static_cast<unsigned>(likeliest >> 32);
float top = value_of(upper);
if (threadIdx.x == 0) tokens[row] = place_of(likeliest);
if (inverse == 0.0f) return;
unsigned least = floor == -INFINITE ? RULED_OUT + 1 : key_of(top + floor);
const bool excludes = excluded <= 1.0f;
float mass = INFINITE;
if (share <= 1.0f) {
  float sum = 0.0f;
  each<COUNT, THREADS>(line, [&](float x, int) {
    if (x == x) sum += __expf(x - top);
  });
  mass = share * of_block<AddUp>(sum, floats, 0.0f);
}
const float most = excludes ? INFINITE : top_k;
if (share <= 1.0f || most < COUNT) {
  const unsigned found = least_key<COUNT, THREADS>(line, upper, top, mass, most, pairs);
  least = least > found ? least : found;
}
if (excludes) {
  float sum = 0.0f;
  each<COUNT, THREADS>(line, [&](float x, int) {
    if (key_of(x) >= least) sum += __expf(x - top);
  });
  const float over = excluded * of_block<AddUp>(sum, floats, 0.0f);
  unsigned lowest = upper;
  each<COUNT, THREADS>(line, [&](float x, int) {
    const unsigned key = key_of(x);
    if (key >= least && key < lowest && __expf(x - top) > over) lowest = key;
  });
  upper = of_block<Smaller>(lowest, keys, upper);
  if (top_k < COUNT) {
    const unsigned found = least_key<COUNT, THREADS>(line, upper, top, INFINITE, top_k, pairs);
    least = least > found ? least : found;
  }
  top = value_of(upper);
}
// Each warp sums a part of the row. The one into whose part the number falls goes through it again.
constexpr int WARPS = THREADS / 32;
constexpr int PART = (COUNT + THREADS - 1) / THREADS * 32;
const int first = warp * PART, end = first + PART < COUNT ? first + PART : COUNT;
float sum = 0.0f;
#pragma unroll 8
for (int i = first + lane; i < end; i += 32) {
  const float x = static_cast<float>(line[i]);
  const unsigned key = key_of(x);
  if (key >= least && key <= upper) sum += __expf((x - top) * inverse);
}
for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
__syncthreads();
if (lane == 0) floats[warp] = sum;
__syncthreads();
float total = 0.0f;
for (int other = 0; other < WARPS; ++other) total += floats[other];
const float target = number * total;
float before = 0.0f;
int chosen = -1;
for (int other = 0; other < WARPS; ++other) {
  if (floats[other] > 0.0f && chosen < 0) {
    if (before + floats[other] > target) chosen = other;
    else before += floats[other];
  }
}
if (warp != chosen) return;
int last = -1;
for (int start = first; start < end; start += 32) {
  float weight = 0.0f;
  if (start + lane < end) {
    const float x = static_cast<float>(line[start + lane]);
    const unsigned key = key_of(x);
    if (key >= least && key <= upper) weight = __expf((x - top) * inverse);
  }
  float up_to = weight;
  for (int step = 1; step < 32; step *= 2) {
    const float other = __shfl_up_sync(0xffffffffu, up_to, step);
    if (lane >= step) up_to += other;
  }
  const unsigned some = __ballot_sync(0xffffffffu, weight > 0.0f);
  const unsigned passed = __ballot_sync(0xffffffffu, weight > 0.0f && before + up_to > target);
  if (passed != 0u) {
    last = start + __ffs(passed) - 1;
    break;
  }
  // Rounded sums may pass nowhere: then it is the last place with a weight.
  if (some != 0u) last = start + 31 - __clz(some);
  before += __shfl_sync(0xffffffffu, up_to, 31);
}
if (lane == 0 && last >= 0) tokens[row] = last;
"""

_NOTE = """
__shared__ Placed pairs[32];
float* floats = reinterpret_cast<float*>(pairs);
const int row = blockIdx.x;
const T* line = logits + static_cast<int64_t>(places[row]) * COUNT;
float* out = noted + static_cast<int64_t>(row) * (1 + 2 * TOP);
Placed pair = largest<COUNT, THREADS>(line, ~static_cast<Placed>(0), pairs);
const float top = value_of(static_cast<unsigned>(pair >> 32));
float sum = 0.0f;
each<COUNT, THREADS>(line, [&](float x, int) {
  if (x == x) sum += expf(x - top);
});
const float all = top + logf(of_block<AddUp>(sum, floats, 0.0f));
if (threadIdx.x == 0) out[0] = static_cast<float>(line[drawn[places[row]]]) - all;
for (int n = 0; n < TOP; ++n) {
  if (n > 0) pair = largest<COUNT, THREADS>(line, pair, pairs);
  if (threadIdx.x == 0) {
    out[1 + n] = static_cast<float>(line[place_of(pair)]) - all;
    out[1 + TOP + n] = static_cast<float>(place_of(pair));
  }
}
"""


def available() -> bool:
    """Whether MLX computes on CUDA."""
    return mx.default_device() != mx.cpu and mx.cuda.is_available()


class CudaDrawing:
    """Draws from rows of logits, as `kernels.Drawing` does."""

    __slots__ = ("_rules", "_xtc")

    def __init__(self, rows: Sequence[Settings]) -> None:
        """`rows`: the settings of each row of logits, or a single one for all rows."""
        self._xtc = [(row.xtc_probability, row.xtc_threshold) for row in rows]
        # What the host has written is slow to read: the sum is the device's own array.
        self._rules = mx.array(np.array([_rule(row) for row in rows], dtype=np.float32)) + 0.0

    def draw(self, logits: mx.array, chances: Sequence[tuple[float, float]]) -> mx.array:
        """Logits (rows, vocabulary), normalised or not, and two numbers from [0, 1) per row → token ids (rows)."""
        rows = len(logits)
        xtc = self._xtc * rows if len(self._xtc) == 1 else self._xtc
        numbers = [
            (number, threshold if other < probability else math.inf)
            for (number, other), (probability, threshold) in zip(chances, xtc, strict=True)
        ]
        (tokens,) = _kernel("draw")(
            inputs=[logits, self._rules, mx.array(np.array(numbers, dtype=np.float32))],
            template=[*_shape(logits), ("SAME", len(self._xtc) == 1)],
            grid=(_THREADS * rows, 1, 1),
            threadgroup=(_THREADS, 1, 1),
            output_shapes=[(rows,)],
            output_dtypes=[mx.uint32],
        )
        return tokens  # type: ignore[no-any-return]


def _rule(row: Settings) -> tuple[float, float, float, float]:
    if row.greedy:
        return _GREEDY, -math.inf, _ALL, math.inf
    floor = math.log(row.min_p) if row.min_p else -math.inf
    return 1.0 / row.temperature, floor, row.top_p if row.top_p < 1.0 else _ALL, row.top_k or math.inf


def note(logits: mx.array, drawn: mx.array, places: mx.array, top: int) -> mx.array:
    """Log-probabilities of some rows of logits (rows, vocabulary).

    Args:
        drawn: (rows): token ids.
        places: (some): the rows that are wanted.
        top: at least as many of the likeliest tokens, if there are as many.

    Returns:
        (some, 1 + 2 × n): the drawn token's, those of the n likeliest from the largest on, and the ids of these.
    """
    top = min(next((most for most in _TOPS if most >= top), top), logits.shape[-1])
    (noted,) = _kernel("note")(
        inputs=[logits, drawn, places],
        template=[*_shape(logits), ("TOP", top)],
        grid=(_THREADS * places.size, 1, 1),
        threadgroup=(_THREADS, 1, 1),
        output_shapes=[(places.size, 1 + 2 * top)],
        output_dtypes=[mx.float32],
    )
    return noted  # type: ignore[no-any-return]


def _shape(logits: mx.array) -> list[tuple[str, Any]]:
    return [("T", logits.dtype), ("COUNT", logits.shape[-1]), ("THREADS", _THREADS)]


@functools.cache
def _kernel(name: str) -> Any:
    inputs, outputs, source = {
        "draw": (["logits", "rules", "chances"], ["tokens"], _DRAW),
        "note": (["logits", "drawn", "places"], ["noted"], _NOTE),
    }[name]
    return mx.fast.cuda_kernel(
        name=f"sampling_{name}", input_names=inputs, output_names=outputs, header=_HEADER, source=source
    )
