"""Kokoro: the model that turns phonemes into sound."""
