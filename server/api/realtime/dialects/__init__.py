"""The protocol that a client speaks: OpenAI's current one, or its beta."""
