"""Image generation and editing: its types, the engine's provider, and the queue in front of it."""
