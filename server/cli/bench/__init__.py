"""Load and latency measurements against any OpenAI-compatible server."""
