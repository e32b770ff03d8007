"""Models, health, queue, metrics, traces, diagnostics, and tokenization."""
