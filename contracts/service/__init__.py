"""Models, health, queue, diagnostics, and tokenization."""
