"""`/v1/vector_stores`: stores, their files and batches of files, and the search."""
