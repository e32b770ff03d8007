"""From a GGUF file to an MLX model folder."""
