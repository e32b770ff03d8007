"""The database of retrieval: its file, its rows and its tables."""
