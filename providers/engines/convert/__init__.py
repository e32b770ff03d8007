"""Converters to MLX model folders. Each runs once, in a process of its own."""
