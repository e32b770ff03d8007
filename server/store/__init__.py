"""What the server keeps between requests."""

from server.store.responses import IN_MEMORY, ResponseStore

__all__ = ["IN_MEMORY", "ResponseStore"]
