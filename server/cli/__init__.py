"""The `mlx-openai-server` command."""

from server.cli._app import main

__all__ = ["main"]
