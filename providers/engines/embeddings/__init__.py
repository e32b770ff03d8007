"""The embeddings and rerank engine."""
