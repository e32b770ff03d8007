"""Where rank 0 can be reached."""

__all__ = ["HOST_VARIABLE"]

HOST_VARIABLE = "MLX_SERVER_RANK0_HOST"
"""Environment variable of rank 0: its address, as the other ranks reach it."""
