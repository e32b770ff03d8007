"""The sound that a client sends, and the turns in it."""
