"""The marks of an input that are not said: Markdown, SSML, sounds and pauses."""
