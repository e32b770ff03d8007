"""Streamed responses: server-sent events, and audio."""
