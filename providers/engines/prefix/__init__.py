"""The prefix cache: KV caches of earlier prompts, in memory and on disk."""
