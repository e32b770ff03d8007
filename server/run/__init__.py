"""Running the server: granian, its application, preloading models, watching the parent, and the start banner."""
