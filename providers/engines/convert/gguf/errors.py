"""The one error of the GGUF converter."""

__all__ = ["GGUFError"]


class GGUFError(Exception):
    """The file is broken, or holds something unknown to this converter; the message names it."""
