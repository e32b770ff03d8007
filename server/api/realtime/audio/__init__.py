"""The sound of a session: its formats, the turns in what the client sends, and the playback of what it gets."""
