"""The speech engine."""
