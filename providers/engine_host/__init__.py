"""The server's side of an engine process: starting it, talking to it, and noticing its end."""
