"""`debate`: two speakers argue about a topic in the terminal."""
