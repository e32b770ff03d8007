"""Several engines of one model behind one queue: which of them answers a request, and how they are replaced."""
