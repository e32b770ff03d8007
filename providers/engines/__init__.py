"""The process side: one engine a model family, and the runtime they share. The only code that imports mlx."""
