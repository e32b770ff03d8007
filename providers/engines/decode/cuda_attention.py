"""Attention of one query per sequence on CUDA, which reads each sequence's own keys and no padding.

MLX: with a mask array, one query per sequence takes the general path (scores, mask and softmax as arrays of their own),
and a short sequence beside a long one costs as much as the long one.
Here: a block of threads per group of heads that share keys, sequence and part of the keys. It starts at the first key
after the sequence's left padding. Products are those of tensor cores with the group's heads as rows; the softmax is
computed as the keys pass. If there are several parts, a second kernel adds them up.
Gain: `docs/performance.md`, "Time of a decode step on CUDA".
Delete when: MLX's attention takes the start of each sequence's keys.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import mlx.core as mx

__all__ = ["MMA", "attend", "bits_of", "build", "is_width", "supports"]

_TYPES = (mx.bfloat16, mx.float16)
_WIDTHS = (64, 96, 128, 192, 256)
_THREADS = 128
_BLOCKS = 256
"""Blocks that keep a large GPU busy: about two per multiprocessor of an H200. Fewer sequences are cut into parts."""
_LONGEST, _SHORTEST = 1024, 64
"""Keys of a part: more, and one long sequence keeps the step waiting; fewer cost more to add up than they save."""

MMA = """
#undef INFINITY
#define INFINITY __int_as_float(0x7f800000)
__device__ inline void multiply(
    float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1, __nv_bfloat16) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
__device__ inline void multiply(
    float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1, __half) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
__device__ inline uint32_t pack(float low, float high, __nv_bfloat16) {
  __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<uint32_t*>(&pair);
}
__device__ inline uint32_t pack(float low, float high, __half) {
  __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<uint32_t*>(&pair);
}
"""
"""Products of tensor cores, and two numbers in one register, by type of the numbers."""

_CUT = """
// Of `length` keys in `splits` parts at most: the parts of a sequence that has `own` keys, and the keys of each.
__device__ inline int2 cut(int length, int splits, int own) {
  int most = ((length + splits - 1) / splits + 15) / 16 * 16;
  int parts = (own + most - 1) / most;
  return make_int2(parts, ((own + parts - 1) / parts + 15) / 16 * 16);
}
"""

_ATTEND = """
constexpr bool TALL = G > 8;               // more heads than half a tile's rows
constexpr int ROWS = TALL ? 16 : 8;
constexpr int WARPS = 4;
constexpr int TILES = (G + 15) / 16;
constexpr int CHUNKS = D / 32;
constexpr int PASSES = (D + 63) / 64;
constexpr int STAGED = D > 128 ? 128 : D;  // widths that are added up together, which bounds shared memory
const T kind = T(0.0f);

const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
const int row = blockIdx.z, shared = blockIdx.y / TILES, tile = blockIdx.y % TILES, split = blockIdx.x;
const int length = keys_shape[2], heads = keys_shape[1] * G;
const int first = starts[row];
const int2 parts = cut(length, gridDim.x, length - first);
if (split >= parts.x) return;
const int from = first + split * parts.y;
const int to = min(length, from + parts.y);
const int rows = min(16, G - tile * 16);
const int head = shared * G + tile * 16;

const T* q = queries + row * queries_strides[0];
const T* k = keys + row * keys_strides[0] + shared * keys_strides[1];
const T* v = values + row * values_strides[0] + shared * values_strides[1];
const int64_t k_step = keys_strides[2], v_step = values_strides[2];
const float factor = __int_as_float(SCALE) * 1.4426950408889634f;

uint4 q_low[CHUNKS], q_high[TALL ? CHUNKS : 1];
const uint4 zero = make_uint4(0, 0, 0, 0);
#pragma unroll
for (int c = 0; c < CHUNKS; ++c) {
  const int dim = c * 32 + t * 8;
  q_low[c] = g < rows ? *reinterpret_cast<const uint4*>(q + (head + g) * queries_strides[1] + dim) : zero;
  if constexpr (TALL)
    q_high[c] = g + 8 < rows ? *reinterpret_cast<const uint4*>(q + (head + g + 8) * queries_strides[1] + dim) : zero;
}

float out[PASSES][8][4];
#pragma unroll
for (int p = 0; p < PASSES; ++p)
#pragma unroll
  for (int j = 0; j < 8; ++j)
#pragma unroll
    for (int i = 0; i < 4; ++i) out[p][j][i] = 0.0f;
float most[2] = {-INFINITY, -INFINITY}, sum[2] = {0.0f, 0.0f};

for (int base = from + warp * 16; base < to; base += WARPS * 16) {
  uint4 k_part[2][CHUNKS], v_part[PASSES][4];
#pragma unroll
  for (int n = 0; n < 2; ++n) {
    const T* line = k + min(base + n * 8 + g, to - 1) * k_step + t * 8;
#pragma unroll
    for (int c = 0; c < CHUNKS; ++c) k_part[n][c] = *reinterpret_cast<const uint4*>(line + c * 32);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const T* line = v + min(base + 2 * t + (i & 1) + (i >> 1) * 8, to - 1) * v_step + g * 8;
#pragma unroll
    for (int p = 0; p < PASSES; ++p)
      v_part[p][i] = D % 64 == 0 || p * 64 + g * 8 < D ? *reinterpret_cast<const uint4*>(line + p * 64) : zero;
  }
  float score[2][4] = {{0.0f, 0.0f, 0.0f, 0.0f}, {0.0f, 0.0f, 0.0f, 0.0f}};
#pragma unroll
  for (int n = 0; n < 2; ++n)
#pragma unroll
    for (int c = 0; c < CHUNKS; ++c) {
      const uint4 a = q_low[c], b = TALL ? q_high[TALL ? c : 0] : zero, key = k_part[n][c];
      multiply(score[n], a.x, b.x, a.y, b.y, key.x, key.y, kind);
      multiply(score[n], a.z, b.z, a.w, b.w, key.z, key.w, kind);
    }
#pragma unroll
  for (int n = 0; n < 2; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i)
      score[n][i] = base + n * 8 + 2 * t + (i & 1) < to ? score[n][i] * factor : -INFINITY;
#pragma unroll
  for (int half = 0; half < (TALL ? 2 : 1); ++half) {
    float best = fmaxf(score[0][2 * half], score[0][2 * half + 1]);
    best = fmaxf(best, fmaxf(score[1][2 * half], score[1][2 * half + 1]));
    best = fmaxf(best, __shfl_xor_sync(0xffffffff, best, 1));
    best = fmaxf(best, __shfl_xor_sync(0xffffffff, best, 2));
    best = fmaxf(best, most[half]);
    const float fade = exp2f(most[half] - best);
    most[half] = best;
    sum[half] *= fade;
#pragma unroll
    for (int n = 0; n < 2; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        score[n][2 * half + i] = exp2f(score[n][2 * half + i] - best);
        sum[half] += score[n][2 * half + i];
      }
#pragma unroll
    for (int p = 0; p < PASSES; ++p)
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        out[p][j][2 * half] *= fade;
        out[p][j][2 * half + 1] *= fade;
      }
  }
  const uint32_t p0 = pack(score[0][0], score[0][1], kind), p2 = pack(score[1][0], score[1][1], kind);
  const uint32_t p1 = TALL ? pack(score[0][2], score[0][3], kind) : 0;
  const uint32_t p3 = TALL ? pack(score[1][2], score[1][3], kind) : 0;
#pragma unroll
  for (int p = 0; p < PASSES; ++p) {
    const uint32_t* lines[4] = {
        reinterpret_cast<const uint32_t*>(&v_part[p][0]), reinterpret_cast<const uint32_t*>(&v_part[p][1]),
        reinterpret_cast<const uint32_t*>(&v_part[p][2]), reinterpret_cast<const uint32_t*>(&v_part[p][3])};
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const uint32_t halves = j % 2 ? 0x7632 : 0x5410;
      const uint32_t b0 = __byte_perm(lines[0][j / 2], lines[1][j / 2], halves);
      const uint32_t b1 = __byte_perm(lines[2][j / 2], lines[3][j / 2], halves);
      if constexpr (!TALL) out[p][j][2] = out[p][j][3] = 0.0f;
      multiply(out[p][j], p0, p1, p2, p3, b0, b1, kind);
    }
  }
}

__shared__ float mixed[WARPS][ROWS][STAGED];
__shared__ float peaks[WARPS][ROWS], sums[WARPS][ROWS];
#pragma unroll
for (int half = 0; half < (TALL ? 2 : 1); ++half) {
  sum[half] += __shfl_xor_sync(0xffffffff, sum[half], 1);
  sum[half] += __shfl_xor_sync(0xffffffff, sum[half], 2);
  if (t == 0) {
    peaks[warp][g + 8 * half] = most[half];
    sums[warp][g + 8 * half] = sum[half];
  }
}
#pragma unroll
for (int stage = 0; stage < (D + STAGED - 1) / STAGED; ++stage) {
  if (stage) __syncthreads();
#pragma unroll
  for (int p = 0; p < PASSES; ++p)
    if (p * 64 / STAGED == stage)
#pragma unroll
      for (int j = 0; j < 8; ++j)
#pragma unroll
        for (int i = 0; i < (TALL ? 4 : 2); ++i) {
          const int dim = p * 64 + 8 * (2 * t + (i & 1)) + j;
          if (dim < D) mixed[warp][g + (i >> 1) * 8][dim - stage * STAGED] = out[p][j][i];
        }
  __syncthreads();
  for (int place = threadIdx.x; place < rows * STAGED; place += WARPS * 32) {
    const int line = place / STAGED, dim = place % STAGED + stage * STAGED;
    if (dim >= D) continue;
    float peak = peaks[0][line];
#pragma unroll
    for (int w = 1; w < WARPS; ++w) peak = fmaxf(peak, peaks[w][line]);
    float total = 0.0f, value = 0.0f;
#pragma unroll
    for (int w = 0; w < WARPS; ++w) {
      const float weight = exp2f(peaks[w][line] - peak);
      total += weight * sums[w][line];
      value += weight * mixed[w][line][dim - stage * STAGED];
    }
    const int64_t at = static_cast<int64_t>(row) * heads + head + line;
    WRITE
  }
}
"""
_WRITE_WHOLE = "result[at * D + dim] = static_cast<T>(value / total);"
_WRITE_PART = """
    const int64_t piece = at * gridDim.x + split;
    partial[piece * D + dim] = value;
    if (dim == 0) {
      weights[piece * 2] = peak;
      weights[piece * 2 + 1] = total;
    }"""

_ADD_UP = """
const int splits = partial_shape[2], heads = partial_shape[1];
const int64_t at = blockIdx.x;
const int length = keys_shape[2];
const int parts = cut(length, splits, length - starts[at / heads]).x;
float peak = -INFINITY;
for (int part = 0; part < parts; ++part) peak = fmaxf(peak, weights[(at * splits + part) * 2]);
float total = 0.0f, value = 0.0f;
for (int part = 0; part < parts; ++part) {
  const float weight = exp2f(weights[(at * splits + part) * 2] - peak);
  total += weight * weights[(at * splits + part) * 2 + 1];
  value += weight * partial[(at * splits + part) * D + threadIdx.x];
}
result[at * D + threadIdx.x] = static_cast<T>(value / total);
"""


def is_width(width: int) -> bool:
    """Whether heads may have this width."""
    return width in _WIDTHS


def supports(queries: mx.array, keys: mx.array, values: mx.array) -> bool:
    """Whether `attend` takes arrays of these shapes and types."""
    return queries.dtype in _TYPES and keys.shape[-1] == values.shape[-1] and is_width(keys.shape[-1])


def attend(queries: mx.array, keys: mx.array, values: mx.array, starts: mx.array, scale: float) -> mx.array:
    """Attention of one query per sequence to the keys from `starts` on.

    Args:
        queries: (sequences, heads, 1, width).
        keys: (sequences, shared heads, positions, width); the heads are a multiple of the shared ones.
        values: as `keys`.
        starts: (sequences), int32: the position of each sequence's first key. Each has one at least.
    """
    sequences, heads, _, width = queries.shape
    shared, length = keys.shape[1], keys.shape[2]
    group = heads // shared
    splits = _splits(sequences * shared * math.ceil(group / 16), length)
    template = [("T", queries.dtype), ("D", width), ("G", group), ("SCALE", bits_of(scale))]
    grid = (splits * _THREADS, shared * math.ceil(group / 16), sequences)
    inputs = [queries, keys, values, starts]
    block, shape = (_THREADS, 1, 1), queries.shape
    if splits == 1:
        (result,) = _kernel("whole")(
            inputs=inputs,
            template=template,
            grid=grid,
            threadgroup=block,
            output_shapes=[shape],
            output_dtypes=[queries.dtype],
        )
        return result  # type: ignore[no-any-return]
    partial, weights = _kernel("part")(
        inputs=inputs,
        template=template,
        grid=grid,
        threadgroup=block,
        output_shapes=[(sequences, heads, splits, width), (sequences, heads, splits, 2)],
        output_dtypes=[mx.float32, mx.float32],
    )
    (result,) = _kernel("sum")(
        inputs=[partial, weights, keys, starts],
        template=template[:2],
        grid=(sequences * heads * width, 1, 1),
        threadgroup=(width, 1, 1),
        output_shapes=[shape],
        output_dtypes=[queries.dtype],
    )
    return result  # type: ignore[no-any-return]


def build(shape: tuple[int, int, int], dtype: mx.Dtype, scale: float) -> None:
    """Build the kernels for heads, shared heads and width of `shape`, so that no request waits for them."""
    heads, shared, width = shape
    for sequences, positions in ((1, 4 * _SHORTEST), (_BLOCKS, 1)):
        keys = mx.zeros((sequences, shared, positions, width), dtype=dtype)
        queries = mx.zeros((sequences, heads, 1, width), dtype=dtype)
        mx.eval(attend(queries, keys, keys, mx.zeros((sequences,), dtype=mx.int32), scale))


def _splits(blocks: int, length: int) -> int:
    """Parts into which `length` keys are cut if there are this many blocks without a cut."""
    keys = math.ceil(length * blocks / _BLOCKS)
    return math.ceil(length / min(_LONGEST, max(_SHORTEST, keys)))


@functools.cache
def bits_of(value: float) -> int:
    """A float32 as the integer of the same bits: a constant of a kernel. Arrays made on the host are slow to read."""
    bits: int = mx.array(value, dtype=mx.float32).view(mx.int32).item()  # type: ignore[assignment]
    return bits


@functools.cache
def _kernel(kind: str) -> Any:
    inputs = ["queries", "keys", "values", "starts"]
    outputs = {"whole": ["result"], "part": ["partial", "weights"], "sum": ["result"]}[kind]
    if kind == "sum":
        inputs, source = ["partial", "weights", "keys", "starts"], _ADD_UP
    else:
        source = _ATTEND.replace("WRITE", _WRITE_WHOLE if kind == "whole" else _WRITE_PART)
    return mx.fast.cuda_kernel(
        name=f"decode_attention_{kind}",
        input_names=inputs,
        output_names=outputs,
        header=MMA + _CUT,
        source=source,
        ensure_row_contiguous=False,
    )
