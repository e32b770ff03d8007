"""Embeddings: their types and the engine's provider."""
