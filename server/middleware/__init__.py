"""ASGI layers around the application: request IDs and log lines, addresses, and cross-origin requests."""
