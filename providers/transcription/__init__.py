"""Transcription: its types and the engine's provider."""
