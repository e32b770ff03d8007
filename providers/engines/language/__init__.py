"""The language model engine: batch, prompts, loading, and KV caches."""
