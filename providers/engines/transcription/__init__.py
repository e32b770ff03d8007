"""The transcription engine: Whisper."""
