"""The `mlx-openai-server` command."""

__all__ = ["main"]


def main() -> None:
    """Entry point of the script. Imports inside: Ctrl-C while they run is no traceback, and workers skip them."""
    try:
        from server.cli._app import cli
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    cli(prog_name="mlx-openai-server")
