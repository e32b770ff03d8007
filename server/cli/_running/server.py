"""Options that choose the running server for a command."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import rich_click as click

__all__ = ["server_options"]

F = TypeVar("F", bound=Callable[..., Any])


def _default_url() -> str:
    """URL of a server that `launch` started in the same environment."""
    host = os.environ.get("SERVER_HOST") or "127.0.0.1"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{os.environ.get('SERVER_PORT') or '8000'}"


def server_options(command: F) -> F:
    """Add `--url` and `--api-key`."""
    url = click.option(
        "--url",
        default=_default_url,
        metavar="URL",
        panel="Server",
        help="URL of the server. Default: http://127.0.0.1:8000.",
    )
    key = click.option(
        "--api-key", envvar="API_KEY", metavar="KEY", panel="Server", help="API key, if the server requires one."
    )
    return url(key(command))
