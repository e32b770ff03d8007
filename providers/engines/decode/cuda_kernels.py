"""Small functions of a decode step as one CUDA kernel each: rotary positions, sum and norm, the gate of an MLP.

MLX: splits a fused product, norms heads, rotates queries and keys, adds and norms with an operation each. On an H200,
launching the operations of a step took the host longer than computing them took the device.
Gain: `docs/performance.md`, "Time of a decode step on CUDA".
Delete when: `mx.compile` joins these operations into as few kernels.
"""

from __future__ import annotations

import functools
from typing import Any

import mlx.core as mx

from providers.engines.decode.cuda_attention import bits_of

__all__ = ["add_and_norm", "gate", "rotate"]

_VECTOR = 8
"""Numbers of 16 bits per load."""
_MOST_THREADS = 1024

_SUM = """
__device__ inline float sum_of_block(float value, float* shared) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffff, value, step);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  float total = 0.0f;
  for (int warp = 0; warp < (blockDim.x + 31) / 32; ++warp) total += shared[warp];
  return total;
}
"""
_ROTATE = """
constexpr int HALF = D / 2;
const int head = blockIdx.y, row = blockIdx.z, i = threadIdx.x;
const T* x = joined + (static_cast<int64_t>(row) * (H + 2 * SHARED) + head) * D;
if (head >= H + SHARED) {
  T* out = values + (static_cast<int64_t>(row) * SHARED + head - H - SHARED) * D;
  out[i] = x[i];
  out[i + HALF] = x[i + HALF];
  return;
}
float a = static_cast<float>(x[i]), b = static_cast<float>(x[i + HALF]);
NORM
const float angle = static_cast<float>(offset[row]) / periods[i];
const float c = cosf(angle), s = sinf(angle);
T* out = head < H ? queries + (static_cast<int64_t>(row) * H + head) * D
                  : keys + (static_cast<int64_t>(row) * SHARED + head - H) * D;
out[i] = static_cast<T>(a * c - b * s);
out[i + HALF] = static_cast<T>(a * s + b * c);
"""
_NORM_HEADS = """
__shared__ float shared[32];
const float scale = rsqrtf(sum_of_block(a * a + b * b, shared) / D + __int_as_float(EPSILON));
const T* weight = head < H ? query_norm : key_norm;
a = static_cast<float>(static_cast<T>(a * scale * static_cast<float>(weight[i])));
b = static_cast<float>(static_cast<T>(b * scale * static_cast<float>(weight[i + HALF])));
"""
_ADD_AND_NORM = """
constexpr int VECTORS = WIDTH / 8;
constexpr int EACH = (VECTORS + THREADS - 1) / THREADS;
__shared__ float shared[32];
const int64_t start = static_cast<int64_t>(blockIdx.x) * WIDTH;
union Vector { uint4 whole; T parts[8]; __device__ Vector() {} };
Vector kept[EACH];
float squares = 0.0f;
#pragma unroll
for (int n = 0; n < EACH; ++n) {
  const int place = (n * THREADS + threadIdx.x) * 8;
  if (place >= WIDTH) break;
  Vector left, right;
  left.whole = *reinterpret_cast<const uint4*>(x + start + place);
  right.whole = *reinterpret_cast<const uint4*>(y + start + place);
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    kept[n].parts[i] = static_cast<T>(static_cast<float>(left.parts[i]) + static_cast<float>(right.parts[i]));
    const float value = static_cast<float>(kept[n].parts[i]);
    squares += value * value;
  }
  *reinterpret_cast<uint4*>(sum + start + place) = kept[n].whole;
}
const float scale = rsqrtf(sum_of_block(squares, shared) / WIDTH + __int_as_float(EPSILON));
#pragma unroll
for (int n = 0; n < EACH; ++n) {
  const int place = (n * THREADS + threadIdx.x) * 8;
  if (place >= WIDTH) break;
  Vector factors;
  factors.whole = *reinterpret_cast<const uint4*>(weight + place);
#pragma unroll
  for (int i = 0; i < 8; ++i)
    kept[n].parts[i] =
        static_cast<T>(static_cast<float>(kept[n].parts[i]) * scale * static_cast<float>(factors.parts[i]));
  *reinterpret_cast<uint4*>(normed + start + place) = kept[n].whole;
}
"""
_GATE = """
union Vector { uint4 whole; T parts[8]; __device__ Vector() {} };
const int place = (blockIdx.x * blockDim.x + threadIdx.x) * 8;
if (place >= WIDTH) return;
const T* line = joined + static_cast<int64_t>(blockIdx.y) * 2 * WIDTH + place;
Vector gates, inputs;
gates.whole = *reinterpret_cast<const uint4*>(line);
inputs.whole = *reinterpret_cast<const uint4*>(line + WIDTH);
#pragma unroll
for (int i = 0; i < 8; ++i) {
  const float value = static_cast<float>(gates.parts[i]);
  inputs.parts[i] = static_cast<T>(value / (1.0f + expf(-value)) * static_cast<float>(inputs.parts[i]));
}
*reinterpret_cast<uint4*>(out + static_cast<int64_t>(blockIdx.y) * WIDTH + place) = inputs.whole;
"""


def rotate(
    joined: mx.array,
    offset: mx.array,
    periods: mx.array,
    norms: tuple[mx.array, mx.array] | None,
    epsilon: float,
    heads: int,
    shared: int,
) -> tuple[mx.array, mx.array, mx.array]:
    """Queries and keys of one token per sequence at their positions, and values: (sequences, heads, 1, width) each.

    Args:
        joined: (sequences, 1, numbers): queries, keys and values of all heads.
        offset: (sequences): positions.
        periods: (width / 2): tokens per radian of each pair of numbers.
        norms: weights with which queries and keys are normed before. `epsilon`: of these norms.
    """
    sequences, _, numbers = joined.shape
    width = numbers // (heads + 2 * shared)
    shapes = [(sequences, count, 1, width) for count in (heads, shared, shared)]
    queries, keys, values = _rotation(norms is not None)(
        inputs=[joined, offset, periods, *(norms or ())],
        template=[("T", joined.dtype), ("D", width), ("H", heads), ("SHARED", shared), ("EPSILON", bits_of(epsilon))],
        grid=(width // 2, heads + 2 * shared, sequences),
        threadgroup=(width // 2, 1, 1),
        output_shapes=shapes,
        output_dtypes=[joined.dtype] * 3,
    )
    return queries, keys, values


def add_and_norm(x: mx.array, y: mx.array, weight: mx.array, epsilon: float) -> tuple[mx.array, mx.array]:
    """`x + y` (sequences, 1, width), and its root-mean-square norm."""
    width = x.shape[-1]
    threads = min(_MOST_THREADS, -(-width // (32 * _VECTOR)) * 32)
    added, normed = _kernel("add_and_norm")(
        inputs=[x, y, weight],
        template=[("T", x.dtype), ("WIDTH", width), ("THREADS", threads), ("EPSILON", bits_of(epsilon))],
        grid=(threads * (x.size // width), 1, 1),
        threadgroup=(threads, 1, 1),
        output_shapes=[x.shape, x.shape],
        output_dtypes=[x.dtype, x.dtype],
    )
    return added, normed


def gate(joined: mx.array) -> mx.array:
    """SwiGLU of (sequences, 1, 2 × width): the gates, and after them the inputs."""
    sequences, _, both = joined.shape
    width = both // 2
    (out,) = _kernel("gate")(
        inputs=[joined],
        template=[("T", joined.dtype), ("WIDTH", width)],
        grid=(-(-width // (_VECTOR * 128)) * 128, sequences, 1),
        threadgroup=(128, 1, 1),
        output_shapes=[(sequences, 1, width)],
        output_dtypes=[joined.dtype],
    )
    return out  # type: ignore[no-any-return]


@functools.cache
def _rotation(norms: bool) -> Any:
    return mx.fast.cuda_kernel(
        name="decode_norm_and_rotate" if norms else "decode_rotate",
        input_names=["joined", "offset", "periods", *(["query_norm", "key_norm"] if norms else [])],
        output_names=["queries", "keys", "values"],
        header=_SUM,
        source=_ROTATE.replace("NORM", _NORM_HEADS if norms else ""),
    )


@functools.cache
def _kernel(name: str) -> Any:
    inputs, outputs, source = {
        "add_and_norm": (["x", "y", "weight"], ["sum", "normed"], _ADD_AND_NORM),
        "gate": (["joined"], ["out"], _GATE),
    }[name]
    return mx.fast.cuda_kernel(
        name=f"decode_{name}", input_names=inputs, output_names=outputs, header=_SUM, source=source
    )
