"""Spans: one module per operation, over what they share."""
