"""Kernels that MLX lacks on a CPU today.

Each module's docstring has four parts: what MLX does, what the module does instead, the measured gain, and when to
delete it.
"""
