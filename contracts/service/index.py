"""`GET /`."""

from __future__ import annotations

import attrs

__all__ = ["Index"]


@attrs.frozen(kw_only=True)
class Index:
    """What this server is, for a client that found its address."""

    name: str = "mlx-openai-server-lab"
    version: str
    endpoints: list[str]
    openapi: str = "/schema/openapi.json"
    base_url: str = "/v1"
