"""The server that a command talks to: found, asked, or started for it."""
