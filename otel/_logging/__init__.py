"""Log lines: structlog and the standard library through one formatter."""
