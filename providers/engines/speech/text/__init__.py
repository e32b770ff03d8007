"""From text to phonemes."""
