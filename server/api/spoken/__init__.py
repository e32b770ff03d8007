"""Answers that are spoken while they are generated: text, sound, words and visemes on one clock."""
