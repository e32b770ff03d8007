"""Chat: its request and event types, the engine's provider, and the queue in front of it."""
