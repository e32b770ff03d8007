"""Constrained output: JSON schemas, regular expressions, and grammars."""
