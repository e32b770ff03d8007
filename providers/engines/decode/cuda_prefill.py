"""Attention of several queries per sequence on CUDA: that of a prompt, which sees what is before it.

MLX: cuDNN plans attention for every number of sequences, queries and keys, which takes 38 ms on an H200, and no two
requests have the same length. Without cuDNN, scores and weights are arrays of their own: 128 prompts of 519 tokens took
1.9 s instead of 1.4. Prompts that begin at different places get an array as a mask.
Here: one kernel for all lengths. A block of threads takes 64 queries of one head, and passes over the keys that they
see in tiles of 64, which it fetches while it computes. Scores stay in registers, and the softmax is computed as the
keys pass (FlashAttention-2, https://arxiv.org/abs/2307.08691).
Gain: `docs/performance.md`, "Time of a decode step on CUDA".
Delete when: MLX's attention takes the start of each sequence's keys, and plans nothing.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import mlx.core as mx

from providers.engines.decode.cuda_attention import MMA, bits_of

__all__ = ["attend", "build", "supports"]

_TYPES = (mx.bfloat16, mx.float16)
_WIDTHS = (64, 96, 128)
_THREADS = 128
_TILE = 64
"""Queries of a block."""

_COPY = """
__device__ inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}
__device__ inline void fetch(void* to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(shared_address(to)), "l"(from) : "memory");
}
__device__ inline void fetched() {
  asm volatile("cp.async.wait_all;" ::: "memory");
}
__device__ inline void read(uint32_t (&to)[4], const void* from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(shared_address(from)) : "memory");
}
__device__ inline void read_across(uint32_t (&to)[4], const void* from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(shared_address(from)) : "memory");
}
"""

_ATTEND = """
constexpr int TILE = 64;                   // queries of a block, and keys that are in shared memory together
constexpr int PIECES = D / 8;              // of 16 bytes, of one key
constexpr int PLACES = D > 64 ? 16 : 8;    // for them; a key's pieces change places, so that no two reads share a bank
constexpr int STEPS = D / 16;
__shared__ __align__(128) uint4 k_tile[TILE * PLACES];
__shared__ __align__(128) uint4 v_tile[TILE * PLACES];
const T kind = T(0.0f);

const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
const int row = blockIdx.z, head = blockIdx.y;
const int count = queries_shape[2], heads = queries_shape[1], length = keys_shape[2];
// Blocks that see most begin first.
const int block = (gridDim.x - 1 - blockIdx.x) * TILE;
const int first = starts[row];
const int place = length - count + block + warp * 16 + g;  // of this thread's upper query among the keys

const T* k = keys + row * keys_strides[0] + head / G * keys_strides[1];
const T* v = values + row * values_strides[0] + head / G * values_strides[1];
const int64_t k_step = keys_strides[2], v_step = values_strides[2];
const float factor = __int_as_float(SCALE) * 1.4426950408889634f;

uint32_t query[STEPS][4];
{
  const T* q = queries + row * queries_strides[0] + head * queries_strides[1];
  const T* upper = q + min(block + warp * 16 + g, count - 1) * queries_strides[2] + 2 * t;
  const T* lower = q + min(block + warp * 16 + g + 8, count - 1) * queries_strides[2] + 2 * t;
#pragma unroll
  for (int s = 0; s < STEPS; ++s) {
    query[s][0] = *reinterpret_cast<const uint32_t*>(upper + s * 16);
    query[s][1] = *reinterpret_cast<const uint32_t*>(lower + s * 16);
    query[s][2] = *reinterpret_cast<const uint32_t*>(upper + s * 16 + 8);
    query[s][3] = *reinterpret_cast<const uint32_t*>(lower + s * 16 + 8);
  }
}

float out[PIECES][4];
#pragma unroll
for (int j = 0; j < PIECES; ++j)
#pragma unroll
  for (int i = 0; i < 4; ++i) out[j][i] = 0.0f;
float most[2] = {-INFINITY, -INFINITY}, sum[2] = {0.0f, 0.0f};

// What is left of the first key may be anything, also NaN: it is never read.
auto fetch_tile = [&](uint4* tile, const T* from, int64_t step, int base) {
#pragma unroll
  for (int i = threadIdx.x; i < TILE * PIECES; i += 128) {
    const int line = i / PIECES, piece = i % PIECES;
    const int key = max(first, min(base + line, length - 1));
    fetch(tile + line * PLACES + (piece ^ (line & 7)), from + key * step + piece * 8);
  }
};

const int last = min(length, length - count + block + TILE);
int base = first / TILE * TILE;
fetch_tile(k_tile, k, k_step, base);
for (; base < last; base += TILE) {
  fetched();
  __syncthreads();
  fetch_tile(v_tile, v, v_step, base);

  float score[8][4];
#pragma unroll
  for (int n = 0; n < 8; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) score[n][i] = 0.0f;
#pragma unroll
  for (int s = 0; s < STEPS; ++s)
#pragma unroll
    for (int n = 0; n < 8; n += 2) {
      const int line = n * 8 + (lane >> 4) * 8 + (lane & 7), piece = s * 2 + ((lane >> 3) & 1);
      uint32_t key[4];
      read(key, k_tile + line * PLACES + (piece ^ (line & 7)));
      multiply(score[n], query[s][0], query[s][1], query[s][2], query[s][3], key[0], key[1], kind);
      multiply(score[n + 1], query[s][0], query[s][1], query[s][2], query[s][3], key[2], key[3], kind);
    }

  if (base < first || base + TILE > length - count + block + warp * 16 + 1) {
#pragma unroll
    for (int n = 0; n < 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int key = base + n * 8 + 2 * t + (i & 1);
        if (key < first || key > place + (i >> 1) * 8) score[n][i] = -INFINITY;
      }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float best = -INFINITY;
#pragma unroll
    for (int n = 0; n < 8; ++n) best = fmaxf(best, fmaxf(score[n][2 * half], score[n][2 * half + 1]));
    best = fmaxf(best, __shfl_xor_sync(0xffffffff, best, 1));
    best = fmaxf(best, __shfl_xor_sync(0xffffffff, best, 2));
    best = fmaxf(best * factor, most[half]);
    const float taken = best == -INFINITY ? 0.0f : best;  // nothing seen yet
    const float fade = exp2f(most[half] - taken);
    most[half] = best;
    sum[half] *= fade;
#pragma unroll
    for (int n = 0; n < 8; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float weight = exp2f(score[n][2 * half + i] * factor - taken);
        score[n][2 * half + i] = weight;
        sum[half] += weight;
      }
#pragma unroll
    for (int j = 0; j < PIECES; ++j) {
      out[j][2 * half] *= fade;
      out[j][2 * half + 1] *= fade;
    }
  }

  fetched();
  __syncthreads();
  if (base + TILE < last) fetch_tile(k_tile, k, k_step, base + TILE);
#pragma unroll
  for (int s = 0; s < 4; ++s) {
    const uint32_t p0 = pack(score[2 * s][0], score[2 * s][1], kind);
    const uint32_t p1 = pack(score[2 * s][2], score[2 * s][3], kind);
    const uint32_t p2 = pack(score[2 * s + 1][0], score[2 * s + 1][1], kind);
    const uint32_t p3 = pack(score[2 * s + 1][2], score[2 * s + 1][3], kind);
#pragma unroll
    for (int j = 0; j < PIECES; j += 2) {
      const int line = s * 16 + ((lane >> 3) & 1) * 8 + (lane & 7), piece = j + (lane >> 4);
      uint32_t value[4];
      read_across(value, v_tile + line * PLACES + (piece ^ (line & 7)));
      multiply(out[j], p0, p1, p2, p3, value[0], value[1], kind);
      multiply(out[j + 1], p0, p1, p2, p3, value[2], value[3], kind);
    }
  }
}

#pragma unroll
for (int half = 0; half < 2; ++half) {
  sum[half] += __shfl_xor_sync(0xffffffff, sum[half], 1);
  sum[half] += __shfl_xor_sync(0xffffffff, sum[half], 2);
  const int query_place = block + warp * 16 + g + half * 8;
  if (query_place < count) {
    const float share = sum[half] > 0.0f ? 1.0f / sum[half] : 0.0f;
    T* line = result + ((static_cast<int64_t>(row) * count + query_place) * heads + head) * D + 2 * t;
#pragma unroll
    for (int j = 0; j < PIECES; ++j)
      *reinterpret_cast<uint32_t*>(line + j * 8) =
          pack(out[j][2 * half] * share, out[j][2 * half + 1] * share, kind);
  }
}
"""


def supports(queries: mx.array, keys: mx.array, values: mx.array) -> bool:
    """Whether `attend` takes arrays of these shapes and types."""
    width = keys.shape[-1]
    return (
        queries.dtype in _TYPES
        and queries.dtype == keys.dtype == values.dtype
        and width in _WIDTHS
        and width == values.shape[-1] == queries.shape[-1]
        and queries.shape[2] <= keys.shape[2]
    )


def attend(queries: mx.array, keys: mx.array, values: mx.array, starts: mx.array | None, scale: float) -> mx.array:
    """Attention of each query to the keys up to its own place; the last query's is that of the last key.

    Args:
        queries: (sequences, heads, queries, width), at most as many as keys.
        keys: (sequences, shared heads, positions, width); the heads are a multiple of the shared ones.
        values: as `keys`.
        starts: (sequences), int32: the position of each sequence's first key, which its first query sees; None: 0.
    """
    sequences, heads, count, width = queries.shape
    (result,) = _kernel()(
        inputs=[queries, keys, values, _zeros(sequences) if starts is None else starts],
        template=[("T", queries.dtype), ("D", width), ("G", heads // keys.shape[1]), ("SCALE", bits_of(scale))],
        grid=(math.ceil(count / _TILE) * _THREADS, heads, sequences),
        threadgroup=(_THREADS, 1, 1),
        output_shapes=[(sequences, count, heads, width)],
        output_dtypes=[queries.dtype],
    )
    # As the next product reads it: the heads of a query one beside the other.
    return result.swapaxes(1, 2)  # type: ignore[no-any-return]


def build(shape: tuple[int, int, int], dtype: mx.Dtype, scale: float) -> None:
    """Build the kernel for heads, shared heads and width of `shape`, so that no request waits for it."""
    heads, shared, width = shape
    if dtype in _TYPES and width in _WIDTHS:
        keys = mx.zeros((1, shared, _TILE, width), dtype=dtype)
        mx.eval(attend(mx.zeros((1, heads, 2, width), dtype=dtype), keys, keys, None, scale))


@functools.lru_cache(maxsize=256)
def _zeros(sequences: int) -> mx.array:
    """Computed once: what the host makes takes kernels longer to read than their work."""
    zeros = mx.zeros((sequences,), dtype=mx.int32)
    mx.eval(zeros)
    return zeros


@functools.cache
def _kernel() -> Any:
    return mx.fast.cuda_kernel(
        name="prompt_attention",
        input_names=["queries", "keys", "values", "starts"],
        output_names=["result"],
        header=MMA + _COPY,
        source=_ATTEND,
        ensure_row_contiguous=False,
    )
