"""Kernels that MLX lacks on a CPU today."""
