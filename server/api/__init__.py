"""The HTTP API: one folder per resource, each with its controller, request, and response."""
