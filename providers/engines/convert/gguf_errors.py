"""The one error of the GGUF converter."""

__all__ = ["GGUFError"]


class GGUFError(Exception):
    """The file is broken, or holds something that this converter does not know; the message names it."""
