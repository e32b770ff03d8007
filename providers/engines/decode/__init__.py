"""The decode step: one token for every sequence of a batch, computed by fewer and cheaper kernels than mlx-lm's.

mlx-lm's model code stays as it is. `step` puts under it: projections of the same input as one product (`fused`),
attention that reads only the keys of each sequence (`attention`, with a CUDA kernel in `cuda_attention`), what a step
knows of its mask (`masks`), products of many rows with quantised weights (`quantised`), and for the families whose
layers are alike, layers of fewer operations (`layers`, with CUDA kernels in `cuda_kernels`).
docs/adr/0017-our-own-decode-step.md has the reasons.
"""
