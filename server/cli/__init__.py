"""The `mlx-openai-server` command."""

__all__ = ["main"]


def main() -> None:
    """Entry point of the script. It imports inside, so that Ctrl-C during imports prints no traceback and workers skip
    the imports."""
    from providers.uncollected import uncollected

    try:
        with uncollected():
            from server.cli._app import cli
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    cli(prog_name="mlx-openai-server")
