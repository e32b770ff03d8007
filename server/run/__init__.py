"""Running the server: granian, preloading models, watching the parent, and the start banner."""
