"""From the turns, texts and tools of a request to the tokens of its prompt."""
