"""The last requests and their spans, for the page at `/traces`."""
