"""The echo model: the whole API without weights."""
