"""Responses that are kept: the store, its database and its lists."""
